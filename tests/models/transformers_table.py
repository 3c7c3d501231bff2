"""Small forms of the architectures of transformers, with random weights: what `test_transformers.py` exports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int | str, ...]
"""Extents; those with a name are dynamic, and `sizes` of a test says what they are."""


@dataclass(frozen=True)
class Architecture:
    """One model.

    Attributes:
        model: The class in transformers.
        config: What differs from the defaults of its configuration.
        inputs: By name, what they hold (see `test_transformers.drawn`) and their shapes.
        config_class: Where it is not the model's own.
        options: Other arguments of forward.
        cache: Heads and size of the keys and values that each layer is given; none if empty.
    """

    model: str
    config: dict[str, Any]
    inputs: dict[str, tuple[str, Shape]]
    config_class: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    cache: tuple[int, ...] = ()


IDS: dict[str, tuple[str, Shape]] = {"input_ids": ("ids", ("batch", "length"))}
TEXT: dict[str, tuple[str, Shape]] = IDS | {"attention_mask": ("mask", ("batch", "length"))}
PAIR: dict[str, tuple[str, Shape]] = TEXT | {"decoder_input_ids": ("ids", ("batch", "target"))}
PICTURE: dict[str, tuple[str, Shape]] = {"pixel_values": ("real", ("batch", 3, "height", "width"))}
SOUND: dict[str, tuple[str, Shape]] = {"input_values": ("real", ("batch", "samples"))}


def square(size: int) -> dict[str, tuple[str, Shape]]:
    """Pictures of one size."""
    return {"pixel_values": ("real", ("batch", 3, size, size))}


ENCODER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 99,
    "max_position_embeddings": 64,
}
DECODER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 99,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
PATCHES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
BOTH: dict[str, Any] = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
WAVES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 30,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}

UNCACHED: dict[str, Any] = {"use_cache": False}

ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture("BertModel", ENCODER, TEXT),
    "bert-mlm": Architecture("BertForMaskedLM", ENCODER, TEXT),
    "bert-qa": Architecture(
        "BertForQuestionAnswering", ENCODER, TEXT | {"token_type_ids": ("types", ("batch", "length"))}
    ),
    "roberta": Architecture("RobertaForSequenceClassification", ENCODER | {"pad_token_id": 1}, TEXT),
    "xlm-roberta": Architecture("XLMRobertaModel", ENCODER | {"pad_token_id": 1}, TEXT),
    "albert": Architecture("AlbertModel", ENCODER | {"embedding_size": 16}, TEXT),
    "electra": Architecture("ElectraForTokenClassification", ENCODER | {"embedding_size": 16}, TEXT),
    "deberta": Architecture(
        "DebertaModel",
        ENCODER | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False},
        TEXT,
    ),
    "deberta-v2": Architecture(
        "DebertaV2Model",
        ENCODER
        | {
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "position_buckets": 16,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
        TEXT,
    ),
    "mpnet": Architecture("MPNetModel", ENCODER, TEXT),
    "funnel": Architecture(
        "FunnelModel",
        {
            "vocab_size": 99,
            "block_sizes": [1, 1],
            "num_decoder_layers": 1,
            "d_model": 32,
            "n_head": 4,
            "d_head": 8,
            "d_inner": 64,
        },
        TEXT,
    ),
    "squeezebert": Architecture(
        "SqueezeBertModel",
        ENCODER
        | {
            "embedding_size": 32,
            "q_groups": 2,
            "k_groups": 2,
            "v_groups": 2,
            "intermediate_groups": 2,
            "output_groups": 2,
        },
        TEXT,
    ),
    "mobilebert": Architecture(
        "MobileBertModel",
        {
            "vocab_size": 99,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "intra_bottleneck_size": 32,
            "embedding_size": 32,
            "num_feedforward_networks": 2,
        },
        TEXT,
    ),
    "longformer": Architecture("LongformerModel", ENCODER | {"attention_window": 4, "pad_token_id": 1}, TEXT),
    "bigbird": Architecture("BigBirdModel", ENCODER | {"attention_type": "original_full"}, TEXT),
    "convbert": Architecture("ConvBertModel", ENCODER | {"embedding_size": 16, "head_ratio": 2}, TEXT),
    "xlnet": Architecture(
        "XLNetModel", {"vocab_size": 99, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}, TEXT
    ),
    "modernbert": Architecture(
        "ModernBertModel",
        ENCODER
        | {
            "pad_token_id": 0,
            "global_attn_every_n_layers": 2,
            "local_attention": 8,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "cls_token_id": 1,
            "sep_token_id": 2,
        },
        TEXT,
    ),
    "distilbert": Architecture(
        "DistilBertModel",
        {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64},
        TEXT,
    ),
    "esm": Architecture("EsmModel", ENCODER | {"pad_token_id": 1, "position_embedding_type": "rotary"}, TEXT),
    "layoutlm": Architecture("LayoutLMModel", ENCODER, TEXT | {"bbox": ("box", ("batch", "length", 4))}),
    "gpt2": Architecture(
        "GPT2LMHeadModel",
        {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
        TEXT,
        options=UNCACHED,
    ),
    "gpt2-cache": Architecture(
        "GPT2LMHeadModel",
        {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
        TEXT,
        cache=(4, 8),
    ),
    "gpt-neo": Architecture(
        "GPTNeoForCausalLM",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 4,
            "max_position_embeddings": 64,
        },
        TEXT,
        options=UNCACHED,
    ),
    "gpt-neox": Architecture("GPTNeoXForCausalLM", ENCODER, TEXT, options=UNCACHED),
    "gptj": Architecture(
        "GPTJForCausalLM",
        {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_positions": 64},
        TEXT,
        options=UNCACHED,
    ),
    "bloom": Architecture(
        "BloomForCausalLM", {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4}, TEXT, options=UNCACHED
    ),
    "opt": Architecture(
        "OPTForCausalLM",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "max_position_embeddings": 64,
            "word_embed_proj_dim": 32,
        },
        TEXT,
        options=UNCACHED,
    ),
    "llama": Architecture("LlamaForCausalLM", DECODER, TEXT, options=UNCACHED),
    "llama-cache": Architecture("LlamaForCausalLM", DECODER, TEXT, cache=(2, 8)),
    "qwen2-cache": Architecture("Qwen2ForCausalLM", DECODER, TEXT, cache=(2, 8)),
    "qwen3": Architecture("Qwen3ForCausalLM", DECODER | {"head_dim": 8}, TEXT, options=UNCACHED),
    "gemma": Architecture("GemmaForCausalLM", DECODER | {"head_dim": 8}, TEXT, options=UNCACHED),
    "gemma2": Architecture("Gemma2ForCausalLM", DECODER | {"head_dim": 8, "sliding_window": 4}, TEXT, options=UNCACHED),
    "gemma3": Architecture(
        "Gemma3ForCausalLM",
        DECODER | {"head_dim": 8, "sliding_window": 4},
        TEXT,
        config_class="Gemma3TextConfig",
        options=UNCACHED,
    ),
    "mistral-cache": Architecture("MistralForCausalLM", DECODER | {"sliding_window": 4}, TEXT, cache=(2, 8)),
    "phi": Architecture("PhiForCausalLM", DECODER, TEXT, options=UNCACHED),
    "phi3": Architecture("Phi3ForCausalLM", DECODER, TEXT, options=UNCACHED),
    "falcon": Architecture(
        "FalconForCausalLM",
        {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
        TEXT,
        options=UNCACHED,
    ),
    "stablelm": Architecture("StableLmForCausalLM", DECODER, TEXT, options=UNCACHED),
    "olmo2": Architecture("Olmo2ForCausalLM", DECODER, TEXT, options=UNCACHED),
    "smollm3": Architecture("SmolLM3ForCausalLM", DECODER, TEXT, options=UNCACHED),
    "granite": Architecture("GraniteForCausalLM", DECODER, TEXT, options=UNCACHED),
    "rwkv": Architecture(
        "RwkvForCausalLM",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "attention_hidden_size": 32,
            "intermediate_size": 64,
            "context_length": 64,
        },
        IDS,
        options=UNCACHED,
    ),
    "t5": Architecture(
        "T5ForConditionalGeneration",
        {
            "vocab_size": 99,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 64,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
        },
        PAIR,
        options=UNCACHED,
    ),
    "t5-encoder": Architecture(
        "T5EncoderModel",
        {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        TEXT,
    ),
    "mt5": Architecture(
        "MT5EncoderModel",
        {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        TEXT,
    ),
    "bart": Architecture("BartForConditionalGeneration", BOTH, PAIR, options=UNCACHED),
    "mbart": Architecture("MBartModel", BOTH, PAIR, options=UNCACHED),
    "marian": Architecture("MarianMTModel", BOTH, PAIR, options=UNCACHED),
    "pegasus": Architecture("PegasusModel", BOTH, PAIR, options=UNCACHED),
    "led": Architecture(
        "LEDModel",
        {
            "vocab_size": 99,
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
            "max_encoder_position_embeddings": 64,
            "max_decoder_position_embeddings": 64,
            "attention_window": 4,
        },
        PAIR,
        options=UNCACHED,
    ),
    "prophetnet": Architecture(
        "ProphetNetModel",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "num_encoder_layers": 1,
            "num_decoder_layers": 1,
            "num_encoder_attention_heads": 4,
            "num_decoder_attention_heads": 4,
            "max_position_embeddings": 64,
        },
        PAIR,
        options=UNCACHED,
    ),
    "wav2vec2": Architecture("Wav2Vec2ForCTC", WAVES, SOUND),
    "wav2vec2-stable": Architecture(
        "Wav2Vec2Model", WAVES | {"feat_extract_norm": "layer", "do_stable_layer_norm": True}, SOUND
    ),
    "hubert": Architecture("HubertModel", WAVES, SOUND),
    "wavlm": Architecture("WavLMModel", WAVES | {"num_buckets": 16, "max_bucket_distance": 32}, SOUND),
    "sew": Architecture("SEWModel", WAVES | {"squeeze_factor": 2}, SOUND),
    "unispeech": Architecture("UniSpeechModel", WAVES, SOUND),
    "data2vec-audio": Architecture(
        "Data2VecAudioModel",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "vocab_size": 30,
            "conv_dim": (16, 16, 16),
            "conv_kernel": (10, 3, 3),
            "conv_stride": (5, 2, 2),
            "num_conv_pos_embeddings": 2,
            "num_conv_pos_embedding_groups": 4,
            "conv_pos_kernel_size": 5,
        },
        SOUND,
    ),
    "wav2vec2-conformer": Architecture(
        "Wav2Vec2ConformerModel",
        WAVES | {"position_embeddings_type": "relative", "conv_depthwise_kernel_size": 7},
        SOUND,
    ),
    "ast": Architecture(
        "ASTForAudioClassification",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "max_length": 64,
            "num_mel_bins": 32,
        },
        {"input_values": ("real", ("batch", 64, 32))},
    ),
    "speech2text": Architecture(
        "Speech2TextModel",
        {
            "vocab_size": 99,
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
            "input_feat_per_channel": 8,
            "input_channels": 1,
            "conv_channels": 16,
            "max_source_positions": 64,
            "max_target_positions": 64,
        },
        {"input_features": ("real", ("batch", "frames", 8)), "decoder_input_ids": ("ids", ("batch", "target"))},
        options=UNCACHED,
    ),
    "speecht5-hifigan": Architecture(
        "SpeechT5HifiGan",
        {
            "model_in_dim": 16,
            "upsample_initial_channel": 16,
            "upsample_rates": [4, 2],
            "upsample_kernel_sizes": [8, 4],
            "resblock_kernel_sizes": [3],
            "resblock_dilation_sizes": [[1, 3]],
        },
        {"spectrogram": ("real", ("batch", "frames", 16))},
    ),
    "clap-audio": Architecture(
        "ClapAudioModel",
        {
            "hidden_size": 64,
            "patch_embeds_hidden_size": 16,
            "depths": [1, 1],
            "num_attention_heads": [2, 4],
            "spec_size": 64,
            "num_mel_bins": 16,
            "window_size": 4,
            "patch_size": 4,
            "patch_stride": [4, 4],
            "num_hidden_layers": 2,
            "projection_dim": 16,
        },
        {"input_features": ("real", ("batch", 1, 200, 16))},
    ),
    "vit": Architecture("ViTForImageClassification", PATCHES, square(32)),
    "vit-interpolate": Architecture("ViTModel", PATCHES, PICTURE, options={"interpolate_pos_encoding": True}),
    "deit": Architecture("DeiTModel", PATCHES, square(32)),
    "beit": Architecture("BeitModel", PATCHES | {"use_relative_position_bias": True}, square(32)),
    "data2vec-vision": Architecture(
        "Data2VecVisionModel", PATCHES | {"use_shared_relative_position_bias": True}, square(32)
    ),
    "dinov2": Architecture("Dinov2Model", PATCHES | {"mlp_ratio": 2}, PICTURE),
    "vit-msn": Architecture("ViTMSNModel", PATCHES, square(32)),
    "swin": Architecture(
        "SwinForImageClassification",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
        square(32),
    ),
    "swinv2": Architecture(
        "Swinv2Model",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
        square(32),
    ),
    "swin-dynamic": Architecture(
        "SwinModel",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
        PICTURE,
    ),
    "swin2sr": Architecture(
        "Swin2SRForImageSuperResolution",
        {"image_size": 32, "embed_dim": 16, "depths": [2], "num_heads": [2], "window_size": 4, "upscale": 2},
        square(32),
    ),
    "convnext": Architecture(
        "ConvNextForImageClassification", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}, PICTURE
    ),
    "convnextv2": Architecture("ConvNextV2Model", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}, PICTURE),
    "regnet": Architecture(
        "RegNetForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "groups_width": 8},
        PICTURE,
    ),
    "resnet": Architecture(
        "ResNetForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]},
        PICTURE,
    ),
    "mobilenet-v1": Architecture("MobileNetV1Model", {"depth_multiplier": 0.25}, PICTURE),
    "mobilenet-v2": Architecture("MobileNetV2ForImageClassification", {"depth_multiplier": 0.25}, PICTURE),
    "efficientnet": Architecture(
        "EfficientNetModel",
        {"width_coefficient": 0.25, "depth_coefficient": 0.5, "hidden_dim": 320, "image_size": 64},
        PICTURE,
    ),
    "poolformer": Architecture("PoolFormerModel", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}, PICTURE),
    "segformer": Architecture(
        "SegformerForSemanticSegmentation",
        {
            "hidden_sizes": [8, 16, 24, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 3, 4],
            "decoder_hidden_size": 16,
            "num_labels": 5,
        },
        PICTURE,
    ),
    "pvt": Architecture(
        "PvtModel",
        {
            "hidden_sizes": [8, 16, 24, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 3, 4],
            "image_size": 64,
        },
        square(64),
    ),
    "pvt-v2": Architecture(
        "PvtV2Model",
        {
            "hidden_sizes": [8, 16, 24, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 3, 4],
            "image_size": 64,
        },
        square(64),
    ),
    "levit": Architecture(
        "LevitModel",
        {
            "image_size": 64,
            "hidden_sizes": [16, 32, 48],
            "num_attention_heads": [2, 2, 2],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
        square(64),
    ),
    "focalnet": Architecture(
        "FocalNetModel",
        {"image_size": 32, "embed_dim": 16, "depths": [1, 1], "focal_levels": [2, 2], "focal_windows": [3, 3]},
        square(32),
    ),
    "bit": Architecture(
        "BitModel",
        {"embedding_size": 8, "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1], "num_groups": 4},
        PICTURE,
    ),
    "detr": Architecture(
        "DetrForObjectDetection",
        {
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "num_queries": 6,
            "num_labels": 4,
            "use_timm_backbone": False,
            "use_pretrained_backbone": False,
            "backbone": None,
            "backbone_config": {
                "model_type": "resnet",
                "embedding_size": 8,
                "hidden_sizes": [16, 32, 48, 64],
                "depths": [1, 1, 1, 1],
                "out_features": ["stage4"],
            },
        },
        PICTURE,
    ),
    "conditional-detr": Architecture(
        "ConditionalDetrForObjectDetection",
        {
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "num_queries": 6,
            "num_labels": 4,
            "use_timm_backbone": False,
            "use_pretrained_backbone": False,
            "backbone": None,
            "backbone_config": {
                "model_type": "resnet",
                "embedding_size": 8,
                "hidden_sizes": [16, 32, 48, 64],
                "depths": [1, 1, 1, 1],
                "out_features": ["stage4"],
            },
        },
        square(64),
    ),
    "yolos": Architecture(
        "YolosForObjectDetection",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "image_size": [32, 32],
            "patch_size": 8,
            "num_detection_tokens": 5,
            "num_labels": 3,
        },
        square(32),
    ),
    "dpt": Architecture(
        "DPTForDepthEstimation",
        {
            "hidden_size": 32,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "image_size": 32,
            "patch_size": 8,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [8, 8, 16, 16],
            "fusion_hidden_size": 16,
            "is_hybrid": False,
        },
        square(32),
    ),
    "depth-anything": Architecture(
        "DepthAnythingForDepthEstimation",
        {
            "backbone_config": {
                "model_type": "dinov2",
                "hidden_size": 32,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "intermediate_size": 64,
                "image_size": 56,
                "patch_size": 14,
                "mlp_ratio": 2,
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
                "reshape_hidden_states": False,
                "apply_layernorm": True,
            },
            "reassemble_hidden_size": 32,
            "neck_hidden_sizes": [8, 8, 16, 16],
            "fusion_hidden_size": 16,
            "head_in_channels": 16,
            "head_hidden_size": 8,
        },
        square(56),
    ),
    "glpn": Architecture(
        "GLPNForDepthEstimation",
        {
            "hidden_sizes": [8, 16, 24, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 3, 4],
            "decoder_hidden_size": 16,
        },
        PICTURE,
    ),
    "vitpose": Architecture(
        "VitPoseForPoseEstimation",
        {
            "backbone_config": {
                "model_type": "vitpose_backbone",
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": [64, 32],
                "patch_size": [8, 8],
                "out_features": ["stage2"],
            },
            "num_labels": 5,
        },
        {"pixel_values": ("real", ("batch", 3, 64, 32))},
    ),
    "sam-vision": Architecture(
        "SamVisionModel",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 64,
            "patch_size": 8,
            "output_channels": 16,
            "global_attn_indexes": [1],
            "window_size": 4,
            "mlp_dim": 64,
        },
        square(64),
    ),
    "clip": Architecture(
        "CLIPModel",
        ({"projection_dim": 16} | {"text_config": ENCODER | {"bos_token_id": 0, "eos_token_id": 2}})
        | {"vision_config": PATCHES},
        TEXT | square(32),
    ),
    "clipseg": Architecture(
        "CLIPSegForImageSegmentation",
        (
            {
                "projection_dim": 16,
                "reduce_dim": 16,
                "extract_layers": [0, 1],
                "decoder_num_attention_heads": 2,
                "decoder_intermediate_size": 32,
            }
            | {"text_config": ENCODER | {"bos_token_id": 0, "eos_token_id": 2}}
        )
        | {"vision_config": PATCHES},
        TEXT | square(32),
    ),
    "siglip": Architecture(
        "SiglipModel",
        (
            {}
            | {
                "text_config": {
                    "hidden_size": 32,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 4,
                    "intermediate_size": 64,
                    "vocab_size": 99,
                    "max_position_embeddings": 16,
                    "projection_size": 32,
                }
            }
        )
        | {"vision_config": PATCHES},
        {"input_ids": ("ids", ("batch", 16)), "pixel_values": ("real", ("batch", 3, 32, 32))},
    ),
    "blip": Architecture(
        "BlipModel",
        ({"projection_dim": 16} | {"text_config": ENCODER | {"encoder_hidden_size": 32}}) | {"vision_config": PATCHES},
        TEXT | square(32),
    ),
    "groupvit": Architecture(
        "GroupViTVisionModel",
        PATCHES | {"depths": [1, 1], "num_group_tokens": [4, 0], "num_output_groups": [2, 0]},
        square(32),
    ),
    "timeseries": Architecture(
        "TimeSeriesTransformerModel",
        {
            "prediction_length": 4,
            "context_length": 12,
            "lags_sequence": [1, 2],
            "num_time_features": 2,
            "d_model": 16,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16,
        },
        {
            "past_values": ("real", ("batch", 14)),
            "past_time_features": ("real", ("batch", 14, 2)),
            "past_observed_mask": ("ones", ("batch", 14)),
            "future_values": ("real", ("batch", 4)),
            "future_time_features": ("real", ("batch", 4, 2)),
        },
        options=UNCACHED,
    ),
    "informer": Architecture(
        "InformerModel",
        {
            "prediction_length": 4,
            "context_length": 12,
            "lags_sequence": [1, 2],
            "num_time_features": 2,
            "d_model": 16,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16,
            "attention_type": "full",
        },
        {
            "past_values": ("real", ("batch", 14)),
            "past_time_features": ("real", ("batch", 14, 2)),
            "past_observed_mask": ("ones", ("batch", 14)),
            "future_values": ("real", ("batch", 4)),
            "future_time_features": ("real", ("batch", 4, 2)),
        },
        options=UNCACHED,
    ),
    "decision-transformer": Architecture(
        "DecisionTransformerModel",
        {"state_dim": 5, "act_dim": 3, "hidden_size": 32, "n_layer": 2, "n_head": 4, "max_ep_len": 32, "vocab_size": 1},
        {
            "states": ("real", ("batch", "length", 5)),
            "actions": ("real", ("batch", "length", 3)),
            "returns_to_go": ("real", ("batch", "length", 1)),
            "timesteps": ("types", ("batch", "length")),
        },
    ),
    "perceiver": Architecture(
        "PerceiverModel",
        {
            "num_latents": 4,
            "d_latents": 16,
            "d_model": 16,
            "num_blocks": 1,
            "num_self_attends_per_block": 1,
            "num_self_attention_heads": 2,
            "num_cross_attention_heads": 2,
        },
        {"inputs": ("real", ("batch", 10, 16))},
    ),
}
