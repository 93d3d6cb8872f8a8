#!/usr/bin/env bash
# Expected: an autoencoder whose configuration says force_upcast=True encodes in float32 when it was
#   loaded in float16, since that is what the entry is there for.
# Seen (diffusers 0.42.1, torch 2.13.0): only pipelines heed it. AutoencoderKL.encode() stays in
#   float16, and where a channel exceeds 65,504 the latents are NaN, without an error. bfloat16, of
#   the same size, has the range.
# Instead: whoever calls encode() alone casts model and images to float32 first.
. "$(dirname "$0")/venv.bash" diffusers==0.42.1 torch==2.13.0 numpy==2.3.5
"$python" -W ignore - <<'PYTHON' 2>/dev/null
import torch
from diffusers import AutoencoderKL

torch.manual_seed(0)
model = AutoencoderKL(
    block_out_channels=(8, 8), norm_num_groups=4, force_upcast=True,
    down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
).eval()
with torch.no_grad():
    model.encoder.conv_in.weight.mul_(3e5)  # channels as large as those of some published models
images = torch.rand(1, 3, 32, 32) * 2 - 1


@torch.no_grad()
def latents(dtype):
    return model.to(dtype).encode(images.to(dtype)).latent_dist.mean


seen = {dtype: latents(dtype) for dtype in (torch.float32, torch.float16, torch.bfloat16)}
for dtype, values in seen.items():
    print(dtype, "->", values.dtype, "finite" if values.isfinite().all() else "not finite")
assert model.config.force_upcast
assert seen[torch.float16].dtype == torch.float16 and not seen[torch.float16].isfinite().all()
assert seen[torch.float32].isfinite().all() and seen[torch.bfloat16].isfinite().all()
PYTHON
