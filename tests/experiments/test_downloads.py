"""Downloads by torchvision from sites of our own: what arrives is read, what fails is explained, no part is left.

The sites hold miniature files in the real layout, with their own MD5 in the place of the published ones.
"""

import functools
import gzip
import http.server
import re
import tarfile
import threading
import urllib.error

import pytest
from torchvision.datasets import CIFAR10, MNIST, cifar, mnist
from torchvision.datasets.utils import calculate_md5

from experiments.data.cifar10 import Cifar10
from experiments.data.cub200 import Cub200
from experiments.data.mnist import Mnist
from experiments.data.sst2 import Sst2
from experiments.data.tiny_imagenet import TinyImageNet

FILES = {
    Cifar10: [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"],
    Mnist: [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")],
}
FOLDER = {Cifar10: "cifar-10-batches-py", Mnist: "MNIST/raw"}
BY_HAND = {
    Cifar10: r"HINT: get cifar-10-python\.tar\.gz from https://www\.cs\.toronto\.edu\S* and unpack it in '{root}'",
    Mnist: r"HINT: get the four files from http://yann\.lecun\.com\S* and unpack them in '{root}/MNIST/raw'",
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The address of a server on this machine, and the folder that it hands out."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "*")
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def cifar_site(cifar_batches, site, monkeypatch):
    """The archive of CIFAR-10."""
    folder, _ = cifar_batches
    address, handed_out = site
    archive = handed_out / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, folder.name)
    monkeypatch.setattr(CIFAR10, "url", f"{address}/{archive.name}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", calculate_md5(archive))
    return archive


@pytest.fixture
def mnist_sites(write_mnist, site, tmp_path, monkeypatch):
    """The four files of MNIST on the second of two mirrors; the first has none."""
    address, handed_out = site
    mirrors = [handed_out / "mirror", handed_out / "other_mirror"]
    resources = []
    for path in write_mnist(tmp_path / "published", n_train=20, n_test=10).iterdir():
        packed = mirrors[1] / f"{path.name}.gz"
        packed.parent.mkdir(exist_ok=True)
        packed.write_bytes(gzip.compress(path.read_bytes()))
        resources.append((packed.name, calculate_md5(packed)))
    mirrors[0].mkdir()
    monkeypatch.setattr(MNIST, "mirrors", [f"{address}/{mirror.name}/" for mirror in mirrors])
    monkeypatch.setattr(MNIST, "resources", resources)
    return mirrors


@pytest.fixture(params=[Cifar10, Mnist])
def kind(request):
    """A data module that can download; its site is laid out."""
    request.getfixturevalue("cifar_site" if request.param is Cifar10 else "mnist_sites")
    return request.param


def sizes(kind, root):
    data = kind(str(root), download=True, seed=0)
    data.prepare_data()
    data.setup("fit")
    return len(data.train), len(data.test)


def refused(kind, root, said, cause):
    """The one error, its reason and its hint, and that nothing is left of the attempt."""
    with pytest.raises(FileNotFoundError) as raised:
        kind(str(root), download=True).prepare_data()
    message = str(raised.value)
    assert re.search(rf"^{'MNIST' if kind is Mnist else 'CIFAR-10'} could not be downloaded from .*{said}", message)
    assert re.search(BY_HAND[kind].format(root=re.escape(str(root))), message), message
    assert "download=true" not in message
    assert isinstance(raised.value.__cause__, cause)
    assert [path for path in root.rglob("*") if path.is_file()] == []
    return message


def test_what_is_missing_is_fetched_once(kind, tmp_path, monkeypatch):
    root = tmp_path / "new" / "data"
    assert sizes(kind, root) == ((10, 2) if kind is Cifar10 else (20, 10))
    assert set(FILES[kind]) <= {path.name for path in (root / FOLDER[kind]).iterdir()}
    assert not list(root.glob("download-*"))

    for module in (cifar, mnist):
        monkeypatch.delattr(module, "download_and_extract_archive")
    sizes(kind, root)


def test_nothing_is_fetched_unless_that_is_asked_for(kind, tmp_path):
    data = kind(str(tmp_path / "data"))
    data.prepare_data()
    with pytest.raises(FileNotFoundError, match=r"was not found: .* Or let torchvision do so with .*download=true"):
        data.setup("fit")


def test_the_arrays_that_keras_hands_out_need_no_download(tmp_path, write_cifar10, monkeypatch):
    write_cifar10(tmp_path, 30, 20)
    monkeypatch.delattr(cifar, "download_and_extract_archive")
    assert sizes(Cifar10, tmp_path) == (30, 20)


@pytest.mark.parametrize("kind", [Cifar10, Mnist], indirect=True)
@pytest.mark.parametrize("place", [0, -1])
def test_a_damaged_file_is_fetched_anew(kind, place, tmp_path):
    """Also where torchvision sees only that there is one: MNIST's files, and the names of CIFAR-10's classes."""
    root = tmp_path / "data"
    whole = sizes(kind, root)
    path = root / FOLDER[kind] / FILES[kind][place]
    before = path.read_bytes()
    path.write_bytes(before[: len(before) // 2])

    assert sizes(kind, root) == whole
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Name or service not known"),
        RuntimeError("File not found or corrupted."),
        ConnectionResetError("Connection reset by peer"),
        EOFError("Compressed file ended before the end-of-stream marker was reached"),
    ],
)
def test_a_download_that_fails_is_explained(kind, tmp_path, monkeypatch, error):
    def fails(_url, root=None, *, download_root=None, filename, **_):
        folder = tmp_path / (root or download_root)
        (folder / filename).write_bytes(b"the first half")
        (folder / filename.removesuffix(".gz")).write_bytes(b"the first half")
        raise error

    for module in (cifar, mnist):
        monkeypatch.setattr(module, "download_and_extract_archive", fails)
    message = refused(kind, tmp_path / "data", re.escape(str(getattr(error, "reason", error)).rstrip(".")), Exception)
    sites = MNIST.mirrors if kind is Mnist else [CIFAR10.url]
    assert f"from {' or '.join(sites)} (" in message


def test_a_site_that_is_not_there_is_explained(cifar_site, tmp_path):
    cifar_site.unlink()
    refused(Cifar10, tmp_path / "data", "HTTP Error 404", urllib.error.URLError)


def test_an_archive_that_arrives_in_part_is_refused_and_fetched_again(cifar_site, tmp_path):
    whole = cifar_site.read_bytes()
    cifar_site.write_bytes(whole[: len(whole) // 2])
    refused(Cifar10, tmp_path / "data", "File not found or corrupted", RuntimeError)

    cifar_site.write_bytes(whole)
    assert sizes(Cifar10, tmp_path / "data") == (10, 2)


def test_one_file_that_no_mirror_has_leaves_no_other(mnist_sites, tmp_path):
    """The files before it have arrived; torchvision would take them for good whatever they hold."""
    packed = mnist_sites[1] / MNIST.resources[-1][0]
    whole = packed.read_bytes()
    packed.write_bytes(b"<html>moved</html>")
    message = refused(Mnist, tmp_path / "data", f"Error downloading {packed.name}", RuntimeError)
    for mirror in MNIST.mirrors:
        assert f"Tried {mirror}, got:" in message

    packed.write_bytes(whole)
    assert sizes(Mnist, tmp_path / "data") == (20, 10)


def test_a_download_that_is_interrupted_leaves_nothing(kind, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for module in (cifar, mnist):
        monkeypatch.setattr(module, "download_and_extract_archive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kind(str(tmp_path / "data"), download=True).prepare_data()
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("kind", [Cub200, TinyImageNet, Sst2])
def test_data_that_cannot_be_fetched_promise_no_download(kind, tmp_path, write_encoder):
    options = {"tokenizer": str(write_encoder(tmp_path / "encoder"))} if kind is Sst2 else {}
    with pytest.raises(FileNotFoundError, match=r"HINT: get .* from http\S* and (unpack|put)") as raised:
        kind(str(tmp_path), **options).setup("fit")
    assert "download=" not in str(raised.value)
