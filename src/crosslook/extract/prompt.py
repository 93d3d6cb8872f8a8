"""The text condition of Stable Diffusion, computed once and kept."""

from __future__ import annotations

from typing import Any

from crosslook.errors import WeightsError
from crosslook.extract.checkpoint import from_pretrained, quiet_libraries
from crosslook.extract.source import Source

_START, _END, _LENGTH = 49406, 49407, 77
"""Tokens that frame every text of CLIP, and the length it is padded to."""


def embed_prompt(source: Source, prompt: str, dtype: Any) -> Any:
    """Embed a prompt: tensor (1, tokens, D). The text encoder is released.

    Raises
    ------
    WeightsError
        If tokenizer or text encoder are damaged.
    """
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    part = source.part("text_encoder")
    with quiet_libraries():
        config = CLIPTextConfig(**dict(part.config))
    tokens = _tokens(source, prompt, config.vocab_size)
    model = from_pretrained(CLIPTextModel, part, config, dtype).eval()
    with torch.no_grad():
        return model(torch.tensor([tokens])).last_hidden_state.detach()


def _tokens(source: Source, prompt: str, vocabulary: int) -> list[int]:
    if source.folder is None:
        return [_START % vocabulary, *[_END % vocabulary] * (_LENGTH - 1)]
    from transformers import CLIPTokenizer

    folder = source.part("tokenizer").checkpoint
    with quiet_libraries():
        try:
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"the tokenizer in {folder} cannot be read: {error}") from error
    ids: list[int] = tokenizer(
        prompt, padding="max_length", max_length=tokenizer.model_max_length, truncation=True
    ).input_ids
    return ids
