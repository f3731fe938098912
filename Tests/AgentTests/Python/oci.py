"""OCI layouts and archives, made by Python's own tarfile, gzip and json."""
import gzip
import hashlib
import io
import json
import os
import tarfile

from agent import IMAGE

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(entries):
    """An archive of `(name, content)`: bytes for a file, None for a directory, or a TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in entries:
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def link(name, target, hard=False):
    info = tarfile.TarInfo(name)
    info.type = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
    info.linkname = target
    return name, info


def device(name):
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 3
    return name, info


def base_layer():
    """The base image as a layer, owned by root."""
    def owned(info):
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return info

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(IMAGE, arcname=".", filter=owned)
    return out.getvalue()


class Layout:
    """An OCI layout as a directory, to which images are added."""

    def __init__(self, folder):
        self.folder = folder
        self.manifests = []
        os.makedirs(f"{folder}/blobs/sha256")
        self.write("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())

    def write(self, name, data):
        with open(f"{self.folder}/{name}", "wb") as file:
            file.write(data)

    def blob(self, data, media):
        name = digest(data)
        self.write("blobs/sha256/" + name[7:], data)
        return {"mediaType": media, "digest": name, "size": len(data)}

    def add(self, layers, name=None, packed=True, **config):
        """Adds an image, and gives the digest of its configuration."""
        blobs = [self.blob(gzip.compress(each, 1, mtime=0), LAYER + "+gzip") if packed
                 else self.blob(each, LAYER) for each in layers]
        document = json.dumps({
            "architecture": ARCHITECTURE, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]}}).encode()
        config = self.blob(document, CONFIG)
        manifest = self.blob(json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": blobs}).encode(), MANIFEST)
        if name:
            manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.manifests.append(manifest)
        self.write("index.json", json.dumps({
            "schemaVersion": 2, "manifests": self.manifests}).encode())
        return config["digest"]

    def archive(self, path):
        """The same as one file."""
        with tarfile.open(path, "w") as archive:
            archive.add(self.folder, arcname=".")
        return path


def saved(path, layers, name, **config):
    """What `docker save` writes."""
    document = json.dumps({
        "architecture": ARCHITECTURE, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]}}).encode()
    own = digest(document)[7:] + ".json"
    files = [(f"{number}/layer.tar", each) for number, each in enumerate(layers)]
    manifest = [{"Config": own, "RepoTags": [name], "Layers": [each for each, _ in files]}]
    with open(path, "wb") as file:
        file.write(tar([(own, document), *files, ("manifest.json", json.dumps(manifest).encode())]))
    return digest(document)
