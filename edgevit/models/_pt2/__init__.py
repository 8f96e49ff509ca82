"""Read a saved program (`.pt2`) of unknown origin without running anything that it holds.

`torch.export.load` is not made for files that one does not trust. On the way from a file to a module it

- unpickles weights and constants marked `use_pickle`, `custom_obj_*`, `opaque_obj_*`, the older
  `data/weights/model.pt`, and sample inputs, all of them freely;
- opens shared libraries below `data/aotinductor/`, in every archive that has such a folder;
- evaluates `expr_str` of every size (`sympy.sympify`), and executes `guards_code` in `program.module()`;
- looks the target of a node up by attributes (`torch.os.system` is a target), and calls it when the
  program runs; one real operator, `aten.from_file`, opens or creates any file;
- imports the module that the context of a `defaultdict` or an enum in a treespec names;
- pastes names of nodes, arguments, parameters and modules into Python source that torch.fx executes,
  already while the file is loaded, and again in `torch.export.unflatten` and `torch.export.export`;
- finds the first of two members where Python's zipfile finds the last, whatever their case.

A list of what is bad would be out of date with the next release, so this is a list of what is good: the
member names that PyTorch's writer uses, and for each JSON field what it may hold (`program`, `payload`,
`expressions`, `operators`, `treespec`, each a small grammar). What passes is written into a new archive
in the scratch folder, and only that one is given to PyTorch. So what was checked is what is loaded, even
if the file changes meanwhile; and what a conversion does not need never arrives: sample inputs, extra
files, guards, free-form metadata. Sample inputs are looked at all the same, with `weights_only=True`: a
file with a pickle that wants more is refused, not tidied up.

What is left is the behaviour of PyTorch's own tensor operators on hostile shapes and values; for that
the step runs without network and can write to its scratch folder only, where the system allows it
(`edgevit.core.process.sandbox`).
"""
