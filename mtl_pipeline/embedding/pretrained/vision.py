"""The pretrained encoder of pictures, as its files say: loaded frozen, and what it makes of a picture first."""

from __future__ import annotations

from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoImageProcessor, PreTrainedModel

from mtl_pipeline.embedding.errors import encoder_error, first_line
from mtl_pipeline.embedding.inputs.pictures import PictureReader, process_with
from mtl_pipeline.embedding.pretrained.language import load_parts
from mtl_pipeline.embedding.source import EncoderFiles
from mtl_pipeline.spec import ImageEncoder


class Vision(nn.Module):
    """Pixels, float32 [batch, 3, height, width], → float32 [batch, dimension]: of CLIP, SigLIP and the like what they
    compare with texts (Radford et al. 2021, https://arxiv.org/abs/2103.00020); of others what their pooler makes of the
    patches, or where none was trained, the first token."""

    dimension: int

    def __init__(self, model: PreTrainedModel, has_pooler: bool) -> None:
        super().__init__()
        self.model, self.has_pooler = model, has_pooler

    def forward(self, pixels: Tensor) -> Tensor:
        read = getattr(self.model, "get_image_features", self.model)(pixel_values=pixels.to(self.model.dtype))
        if isinstance(read, Tensor):  # in earlier releases of transformers
            return read.float()
        pooled = getattr(read, "pooler_output", None) if self.has_pooler else None
        return (read.last_hidden_state[:, 0] if pooled is None else pooled).flatten(1).float()


def load_vision(files: EncoderFiles, settings: ImageEncoder) -> tuple[Vision, PictureReader]:
    """In float32 and evaluation mode. Raises UserError when the files are no encoder of pictures."""
    # Pillow's, also where torchvision is installed, which scales pictures a little differently.
    processor, model, has_pooler = load_parts(files, AutoImageProcessor, backend="pil")
    network, process = Vision(model, has_pooler).eval(), partial(process_with, processor)
    try:
        tall, wide = (process(Image.new("RGB", size)) for size in ((40, 60), (90, 50)))
        if tall.shape != wide.shape:
            raise ValueError("its processor gives pictures of different sizes")
        with torch.inference_mode():
            (network.dimension,) = network(torch.from_numpy(tall)[None])[0].shape
    except Exception as error:  # of whatever the model expects: no common base
        problem = (
            f"it makes no vector of a picture ({first_line(error)}). Name a model such as CLIP, SigLIP or ViT"
        )
        raise encoder_error(files.source, problem) from error
    return network, PictureReader(process, tall.shape)
