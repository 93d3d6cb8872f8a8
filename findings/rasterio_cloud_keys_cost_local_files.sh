#!/usr/bin/env bash
# Expected: keys of Amazon's cloud in the environment matter to s3:// addresses alone.
# Seen (rasterio 1.4.4, boto3 1.43.117): with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set and
#   boto3 installed, each opening of a local file makes a boto3 session, tens of milliseconds of the
#   processor. Without keys, none.
# Instead: open local files inside rasterio.Env(DummySession()).
. "$(dirname "$0")/venv.bash" rasterio==1.4.4 boto3==1.43.117 numpy==2.3.5
cat >count.py <<'PYTHON'
import sys

import boto3
import numpy as np
import rasterio
from rasterio.session import DummySession

made = 0
original = boto3.Session.__init__


def counted(self, *args, **kwargs):
    global made
    made += 1
    original(self, *args, **kwargs)


boto3.Session.__init__ = counted
with rasterio.open("a.tif", "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8") as f:
    f.write(np.ones((1, 8, 8), "uint8"))
made = 0
for _ in range(10):
    if "dummy" in sys.argv:
        with rasterio.Env(DummySession()), rasterio.open("a.tif") as f:
            f.read()
    else:
        with rasterio.open("a.tif") as f:
            f.read()
print(made)
PYTHON
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_PROFILE
without=$("$python" -W ignore count.py)
export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_EC2_METADATA_DISABLED=true
with=$("$python" -W ignore count.py)
dummy=$("$python" -W ignore count.py dummy)
echo "sessions for ten openings of a local file: $without without keys, $with with, $dummy in a DummySession"
[ "$without" = 0 ] && [ "$with" -ge 10 ] && [ "$dummy" = 0 ]
