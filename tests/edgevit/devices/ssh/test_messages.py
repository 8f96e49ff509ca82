"""OpenSSH's own sentences, as clients 8.4 to 9.9 write them, and what they become."""

from __future__ import annotations

import pytest

from edgevit.core.errors import DeviceLostError
from edgevit.devices._ssh.address import parse
from edgevit.devices._ssh.messages import explain

BOARD = parse("ssh://pi@board:2222")
CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r
Someone could be eavesdropping on you right now (man-in-the-middle attack)!\r
It is also possible that a host key has just been changed.\r
The fingerprint for the ED25519 key sent by the remote host is\r
SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDaGNJ0vGHxT1DfQzQ.\r
Please contact your system administrator.\r
Add correct host key in /home/me/.ssh/known_hosts to get rid of this message.\r
Offending ECDSA key in /home/me/my keys/known_hosts:12\r
  remove with:\r
  ssh-keygen -f "/home/me/.ssh/known_hosts" -R "board"\r
Host key for board has changed and you have requested strict checking.\r
Host key verification failed.\r
"""


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            CHANGED,
            "its host key has changed (line 12 of /home/me/my keys/known_hosts); it shows the ED25519 key "
            "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDaGNJ0vGHxT1DfQzQ",
            "compare the fingerprint",
        ),
        ("Host key verification failed.\r\n", "is not known on this computer", "`ssh -p 2222 pi@board`"),
        (
            "No ED25519 host key is known for board and you have requested strict checking.\r\n"
            "Host key verification failed.\r\n",
            "is not known on this computer",
            "connect once by hand",
        ),
        ("@  WARNING: REVOKED HOST KEY DETECTED!               @\r\n", "marked as revoked", "do not connect"),
        (
            "pi@board: Permission denied (publickey).\r\n",
            "takes none of this computer's keys",
            "`ssh-copy-id -p 2222",
        ),
        (
            "pi@board: Permission denied (publickey,keyboard-interactive).\r\n",
            "would ask for a password",
            "`ssh-copy-id -p 2222 pi@board`",
        ),
        (
            "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\r\n"
            "Permissions 0644 for '/home/me/.ssh/id' are too open.\r\n"
            "pi@board: Permission denied (publickey).\r\n",
            "does not use the key /home/me/.ssh/id",
            "chmod 600 /home/me/.ssh/id",
        ),
        (
            'sign_and_send_pubkey: signing failed for ED25519-SK "/k" from agent: agent refused operation\r\n'
            "pi@board: Permission denied (publickey).\r\n",
            "the SSH agent of this computer refuses",
            "ssh-add",
        ),
        (
            "Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures\r\n",
            "too many keys",
            "IdentitiesOnly",
        ),
        (
            "ssh: Could not resolve hostname board: Temporary failure in name resolution\r\n",
            "there is no host board: Temporary failure in name resolution",
            "IP address",
        ),
        (
            "ssh: connect to host 192.0.2.7 port 2222: No route to host\r\n",
            "192.0.2.7 does not answer on port 2222: No route to host",
            "`ping 192.0.2.7`",
        ),
        ("ssh: connect to host board port 22: Connection timed out\r\n", "Connection timed out", "ping"),
        (
            "ssh: connect to host board port 22: Operation timed out\r\n",
            "Operation timed out",
            "ping",
        ),  # a Mac's
        (
            "ssh: connect to host board port 22: Connection refused\r\n",
            "nothing listens on port 22",
            "ssh://board:PORT",
        ),
        (  # a jump host that cannot be reached: the second line alone says nothing
            "ssh: connect to host jump port 22: Connection refused\r\n"
            "kex_exchange_identification: Connection closed by remote host\r\n",
            "nothing listens on port 22 of jump",
            "",
        ),
        (
            "Connection timed out during banner exchange\r\n",
            "takes the connection and says nothing",
            "too busy",
        ),
        (
            "Connection to 192.0.2.7 port 2222 timed out\r\n",
            "takes the connection and says nothing",
            "too busy",
        ),
        (
            "Unable to negotiate with 192.0.2.7 port 22: no matching host key type found. Their offer: ssh-rsa\r\n",
            "share no host key type; it offers ssh-rsa",
            "~/.ssh/config",
        ),
        (
            "kex_exchange_identification: banner line contains invalid characters\r\n",
            "is no SSH server",
            "check the port",
        ),
        (
            "/home/me/.ssh/config: line 3: Bad configuration option: hots\r\n"
            "/home/me/.ssh/config: terminating, 1 bad configuration options\r\n",
            "/home/me/.ssh/config: line 3: Bad configuration option: hots",
            "by hand",
        ),
        (
            "Bad owner or permissions on /home/me/.ssh/config\r\n",
            "Bad owner or permissions on /home/me",
            "by hand",
        ),
        (
            "mux_client_request_session: session request failed: Session open refused by peer\r\n"
            "Connection closed by UNKNOWN port 65535\r\n",
            "opens no further session",
            "MaxSessions 10",
        ),
        (
            "channel 0: open failed: administratively prohibited: open failed\r\nstdio forwarding failed\r\n"
            "kex_exchange_identification: Connection closed by remote host\r\n",
            "opens no connection: administratively prohibited: open failed",
            "by hand",
        ),
    ],
)
def test_what_openssh_says_is_told_with_what_mends_it(said: str, message: str, hint: str) -> None:
    error = explain(said, BOARD)
    assert error is not None and message in error.message and hint in error.hint
    assert (
        not isinstance(error, DeviceLostError)
        and error.message.isprintable()
        and "ssh-keygen -f" not in error.hint
    )


@pytest.mark.parametrize(
    "said",
    [
        "client_loop: send disconnect: Broken pipe",
        "Connection to board closed by remote host.",
        "Connection closed by 192.0.2.7 port 22",
        "Connection reset by 192.0.2.7 port 22",
        "kex_exchange_identification: read: Connection reset by peer",
        "kex_exchange_identification: Connection closed by remote host",
        "ssh_dispatch_run_fatal: Connection to 192.0.2.7 port 22: message authentication code incorrect",
        "Timeout, server board not responding.",
        "mux_client_request_session: read from master failed: Broken pipe",
        "Corrupted MAC on input.",
    ],
)
def test_a_connection_that_broke_may_be_asked_for_again(said: str) -> None:
    error = explain(f"Warning: something else\r\n{said}\r\n", BOARD)
    assert isinstance(error, DeviceLostError)
    assert error.message == f"the connection to ssh://pi@board:2222 broke: {said}"


@pytest.mark.parametrize("said", ["", "cat: /x: Permission denied\n", "sh: ssh: not found\n", "Killed\n"])
def test_words_of_programs_there_are_not_openssh(said: str) -> None:
    assert explain(said, BOARD) is None
