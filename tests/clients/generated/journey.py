"""Uploads a picture and views it with the generated client. Arguments: the address, the picture."""

import sys
import time
from pathlib import Path

import urllib3
from openapi_client import (
    ApiClient,
    ApiException,
    BatchDeclaration,
    Configuration,
    FileDeclaration,
    GalleriesApi,
    GalleryCreate,
    MediaApi,
    Problem,
    SignUploadsProblemCode,
)

host, picture = sys.argv[1], Path(sys.argv[2])
content = picture.read_bytes()
http = urllib3.PoolManager()

gallery = GalleriesApi(ApiClient(Configuration(host=host))).create_gallery(
    gallery_create=GalleryCreate(title="Python")
)
sys.stdout.write(f"made {gallery.id} {gallery.access_key}\n")
manager = MediaApi(ApiClient(Configuration(host=host, api_key={"GalleryKey": gallery.access_key})))
file = FileDeclaration(filename=picture.name, size=len(content), content_type="image/jpeg")
(upload,) = manager.sign_uploads(gallery.id, BatchDeclaration(files=[file])).uploads
put = http.request(upload.single.http_method, upload.single.url, body=content, headers=upload.single.headers)
assert put.status == 200, put.data
manager.complete_upload(upload.id)

viewer = MediaApi(ApiClient(Configuration(host=host)))
for _ in range(300):
    items = viewer.view_gallery(gallery.code, limit=10).items
    if items and items[0].original:
        break
    time.sleep(0.1)
(item,) = items
assert item.status == "ready"
assert item.created_at.tzinfo is not None
assert http.request("GET", item.original.url).data == content
try:
    file.size = 5_368_709_121
    manager.sign_uploads(gallery.id, BatchDeclaration(files=[file]))
    raise AssertionError("5 GiB and a byte")
except ApiException as refused:
    problem = Problem.from_json(refused.body)
    assert problem.errors[0].var_field == "files.0.size"
    assert SignUploadsProblemCode(problem.code) is SignUploadsProblemCode.FILE_TOO_LARGE
sys.stdout.write(f"shown {item.filename} {item.size}\n")
