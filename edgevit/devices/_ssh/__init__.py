"""A device over SSH, through the user's own OpenSSH client: its configuration, keys, agent, jump hosts and known hosts.

`address` reads what the user typed, `connection` keeps one connection open, `login_shell` hands scripts to whatever
shell answers there, `copying` moves files, `messages` puts OpenSSH's words into ours, and `place` joins them.
"""
