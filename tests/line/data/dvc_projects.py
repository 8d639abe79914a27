"""Two small projects as DVC itself wrote them, path by path: by DVC 3.67 (a folder, a file, a stage), by DVC 2.58."""

DVC3 = {
    ".dvc/.gitignore": b"/config.local\n/tmp\n/cache\n",
    ".dvc/cache/files/md5/1b/385affd7adb5a6283fef292b5df0f7": b"deep\n",
    ".dvc/cache/files/md5/5b/347a4db325ff4a3a5bb587b42b6e01": b"model train:\n  lr: 0.1\n",
    ".dvc/cache/files/md5/a5/f86cddf723ea8600f82947e278a3b5.dir": (
        b'[{"md5": "b1946ac92492d2347c6235b4d2611184", "relpath": "a.txt"}, {"md5": "1b385'
        b'affd7adb5a6283fef292b5df0f7", "relpath": "sub/b.txt"}]'
    ),
    ".dvc/cache/files/md5/b1/946ac92492d2347c6235b4d2611184": b"hello\n",
    ".dvc/cache/files/md5/c3/da2cd5a6abc84825611d717df35a67": b"crlf\r\n",
    ".dvc/cache/files/md5/dc/926bee53673c8ee852d87143691bae": b'{"acc": 0.5}',
    ".dvc/config": b"[core]\n    remote = store\n['remote \"store\"']\n    url = ../store\n",
    ".dvcignore": (
        b"# Add patterns of files dvc should ignore, which could improve\n"
        b"# the performance. Learn more at\n"
        b"# https://dvc.org/doc/user-guide/dvcignore\n"
    ),
    ".gitignore": b"/data\n/plain.txt\n/model.txt\n",
    "data/a.txt": b"hello\n",
    "data/sub/b.txt": b"deep\n",
    "data.dvc": (
        b"outs:\n- md5: a5f86cddf723ea8600f82947e278a3b5.dir\n  size: 11\n  nfiles: 2\n  hash: md5\n  path: data\n"
    ),
    "dvc.lock": (
        b"schema: '2.0'\n"
        b"stages:\n"
        b"  train:\n"
        b"    cmd: python3 train.py\n"
        b"    deps:\n"
        b"    - path: data\n"
        b"      hash: md5\n"
        b"      md5: a5f86cddf723ea8600f82947e278a3b5.dir\n"
        b"      size: 11\n"
        b"      nfiles: 2\n"
        b"    - path: train.py\n"
        b"      hash: md5\n"
        b"      md5: 3c9949fcd69399b06ee06e0b06dea59b\n"
        b"      size: 133\n"
        b"    params:\n"
        b"      params.yaml:\n"
        b"        train.lr: 0.1\n"
        b"    outs:\n"
        b"    - path: metrics.json\n"
        b"      hash: md5\n"
        b"      md5: dc926bee53673c8ee852d87143691bae\n"
        b"      size: 12\n"
        b"    - path: model.txt\n"
        b"      hash: md5\n"
        b"      md5: 5b347a4db325ff4a3a5bb587b42b6e01\n"
        b"      size: 23\n"
    ),
    "dvc.yaml": (
        b"stages:\n"
        b"  train:\n"
        b"    cmd: python3 train.py\n"
        b"    deps:\n"
        b"    - data\n"
        b"    - train.py\n"
        b"    params:\n"
        b"    - train.lr\n"
        b"    outs:\n"
        b"    - model.txt\n"
        b"    metrics:\n"
        b"    - metrics.json:\n"
        b"        cache: false\n"
    ),
    "metrics.json": b'{"acc": 0.5}',
    "model.txt": b"model train:\n  lr: 0.1\n",
    "params.yaml": b"train:\n  lr: 0.1\n",
    "plain.txt": b"crlf\r\n",
    "plain.txt.dvc": (b"outs:\n- md5: c3da2cd5a6abc84825611d717df35a67\n  size: 6\n  hash: md5\n  path: plain.txt\n"),
    "train.py": (
        b"import json,sys\n"
        b"p=open('params.yaml').read()\n"
        b"open('model.txt','w').write('model '+p)\n"
        b"json.dump({'acc':0.5},open('metrics.json','w'))\n"
    ),
}

DVC2 = {
    ".dvc/.gitignore": b"/config.local\n/tmp\n/cache\n",
    ".dvc/cache/58/39145a19c13f3ffb0a3b9527e0a912": b"plain\r\n",
    ".dvc/cache/a3/e0f3161244227063d22a647ae94be2": b"deep\x00\r\n",
    ".dvc/cache/e9/225faa910bef90ba14692fb3ac0216.dir": (
        b'[{"md5": "ea2dddc0f5cbc7826964e2185a2e8222", "relpath": "a.txt"}, {"md5": "a3e0f'
        b'3161244227063d22a647ae94be2", "relpath": "sub/b.bin"}]'
    ),
    ".dvc/cache/ea/2dddc0f5cbc7826964e2185a2e8222": b"crlf\r\nline\r\n",
    ".dvc/config": b"",
    ".dvcignore": (
        b"# Add patterns of files dvc should ignore, which could improve\n"
        b"# the performance. Learn more at\n"
        b"# https://dvc.org/doc/user-guide/dvcignore\n"
    ),
    ".gitignore": b"/model.txt\n/data\n/plain.txt\n",
    "data/a.txt": b"crlf\r\nline\r\n",
    "data/sub/b.bin": b"deep\x00\r\n",
    "data.dvc": (b"outs:\n- md5: e9225faa910bef90ba14692fb3ac0216.dir\n  size: 19\n  nfiles: 2\n  path: data\n"),
    "dvc.yaml": (
        b"stages:\n"
        b"  train:\n"
        b"    cmd: python3 train.py\n"
        b"    deps:\n"
        b"    - data\n"
        b"    - train.py\n"
        b"    params:\n"
        b"    - lr\n"
        b"    outs:\n"
        b"    - model.txt\n"
    ),
    "params.yaml": b"lr: 0.5\n",
    "plain.txt": b"plain\r\n",
    "plain.txt.dvc": b"outs:\n- md5: 5839145a19c13f3ffb0a3b9527e0a912\n  size: 7\n  path: plain.txt\n",
    "train.py": b"open('model.txt','w').write('model '+open('params.yaml').read())\n",
}
