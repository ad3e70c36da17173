"""A tiny backbone of timm's with random weights, saved as the hub has them: config.json and model.safetensors."""

NAME = "test_resnet"


def write_backbone(folder, seed=0, name=NAME):
    """Save a random backbone for pictures of 32 pixels with its classifier, by timm's own writer."""
    import timm
    import torch
    from timm.models._hub import save_for_hf

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = timm.create_model(name, num_classes=5)
    data = {"input_size": (3, 32, 32), "crop_pct": 0.875, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
    model.pretrained_cfg.update(data)
    save_for_hf(model, folder, safe_serialization=True)
    return folder
