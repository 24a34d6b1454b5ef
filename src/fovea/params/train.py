"""Section `train`: the network, how it is trained, and which epoch is kept."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fovea.params.section import Section

Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
SYMMETRIC = ("efficientnet_v2_l", "googlenet", "inception_v3")  # torchvision's whose ImageNet weights expect -1 to 1
Metric = Literal["loss", "accuracy", "balanced_accuracy", "auroc", "kappa"]


class HeadParams(Section):
    """The new last layer: linear, or `hidden` units, ReLU, dropout and linear."""

    hidden: Annotated[int, Field(ge=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class LossParams(Section):
    name: Literal["cross_entropy", "binary_cross_entropy", "focal", "ordinal"]
    label_smoothing: Strength
    gamma: NotNegative
    class_weights: Literal["none", "balanced"]

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> "LossParams":
        if self.label_smoothing and self.name != "cross_entropy":
            raise ValueError(f"label_smoothing: must be 0 with {self.name}, which would ignore it")
        if self.gamma and self.name != "focal":
            raise ValueError(f"gamma: must be 0 with {self.name}, which would ignore it")
        if self.name == "focal" and not self.gamma:
            raise ValueError("gamma: must be above 0 with focal; 0 is cross_entropy")
        return self


class TransformParams(Section):
    """Drawn anew for each image in each epoch of the full phase; 0 switches one off."""

    hflip: Probability
    vflip: Probability
    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: tuple[Positive, Positive]
    brightness: Strength
    contrast: Strength
    saturation: Strength
    erasing: Probability


class MixParams(Section):
    """Two images of a batch become one. With both above 0 each image gets one of them, each as often."""

    mixup: NotNegative
    cutmix: NotNegative


class Sgd(Section):
    """Stochastic gradient descent; `weight_decay` times the weight is added to the gradient."""

    name: Literal["sgd"]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: NotNegative

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "Sgd":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: true needs momentum above 0")
        return self


class Adam(Section):
    """adam adds `weight_decay` times the weight to the gradient, adamw takes it off the weight itself."""

    name: Literal["adam", "adamw"]
    weight_decay: NotNegative


class Constant(Section):
    """`lr` throughout."""

    name: Literal["constant"]


class Cosine(Section):
    """Linear warm-up over `warmup_epochs`, then half a cosine down to `final_lr`."""

    name: Literal["cosine"]
    warmup_epochs: NotNegative
    final_lr: NotNegative


class OneCycle(Section):
    """Up to `lr` over the share `rise` of the steps and down again, as in Smith & Topin (2018)."""

    name: Literal["one_cycle"]
    rise: Annotated[float, Field(gt=0, lt=1)]


class Polynomial(Section):
    """From `lr` to `final_lr` over `steps` (null: all steps of the phase), constant after."""

    name: Literal["polynomial"]
    power: Positive
    final_lr: NotNegative
    steps: Positive | None


class Plateau(Section):
    """Times `factor` when `train.plateau_metric` has not improved for more than `patience` epochs."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Annotated[int, Field(ge=0)]


class Steps(Section):
    """Times `factor` after each of the epochs `at`, counted from the start of the phase."""

    name: Literal["steps"]
    at: Annotated[list[Count], Field(min_length=1)]
    factor: Annotated[float, Field(gt=0, lt=1)]


class PhaseParams(Section):
    """The frozen phase trains the head alone, the full phase everything; 0 epochs leaves a phase out."""

    epochs: Annotated[int, Field(ge=0)]
    lr: Positive
    optimizer: Annotated[Sgd | Adam, Field(discriminator="name")]
    schedule: Annotated[
        Constant | Cosine | OneCycle | Polynomial | Plateau | Steps, Field(discriminator="name")
    ]

    @model_validator(mode="after")
    def _schedule_fits_the_phase(self) -> "PhaseParams":
        if not self.epochs:
            return self
        match self.schedule:
            case Steps(at=at) if max(at) >= self.epochs:
                raise ValueError(f"schedule.at: {max(at)} must be below epochs, {self.epochs}, or it would be ignored")
            case Cosine(warmup_epochs=warmup) if warmup >= self.epochs:
                raise ValueError(f"schedule.warmup_epochs: {warmup:g} must be below epochs, {self.epochs}, or final_lr "
                                 "would be ignored")
        return self


class FullParams(PhaseParams):
    backbone: Annotated[float, Field(gt=0, le=1)]
    layer_decay: Annotated[float, Field(gt=0, le=1)]


class TrainParams(Section):
    recipe: str | None
    quick: bool
    seed: Annotated[int, Field(ge=0)]
    model: str
    stem: Literal["standard", "small"]
    weights: str
    strict: bool
    scaling: Literal["imagenet", "unit", "symmetric", "caffe"]
    crop: Annotated[int, Field(ge=8)] | None
    head: HeadParams
    loss: LossParams
    batch_size: Annotated[int, Field(ge=2)]  # batch norm cannot estimate a variance from one image
    micro_batch: Annotated[int, Field(ge=2)] | None
    sampling: Literal["shuffled", "balanced"]
    transforms: TransformParams
    mix: MixParams
    gradient_clip: NotNegative
    average: Strength
    frozen: PhaseParams
    full: FullParams
    best_metric: Metric
    plateau_metric: Metric
    early_stopping: Annotated[int, Field(ge=0)]
    log_every: Count

    @model_validator(mode="after")
    def _consistent(self) -> "TrainParams":
        if self.frozen.epochs + self.full.epochs == 0:
            raise ValueError("frozen.epochs and full.epochs are both 0: nothing would be trained")
        if self.transforms.scale[0] > self.transforms.scale[1]:
            raise ValueError("transforms.scale: smallest number first")
        if self.weights == "imagenet" and self.model in SYMMETRIC and self.scaling != "symmetric":
            raise ValueError(f"scaling: must be symmetric for the ImageNet weights of {self.model}, which expect it")
        if self.head.dropout and not self.head.hidden:
            raise ValueError("head.dropout: needs head.hidden above 0; a linear head would ignore it")
        if self.strict and self.weights == "none":
            raise ValueError("strict: must be false with weights: none, which would ignore it")
        if self.micro_batch and self.micro_batch > self.batch_size:
            raise ValueError("micro_batch: must not be above batch_size; null takes the batch as a whole")
        if not self.full.epochs and (self.mix.mixup or self.mix.cutmix):
            raise ValueError("mix: needs full.epochs above 0; the frozen phase would ignore it")
        if not self.full.epochs and self.transforms.erasing:
            raise ValueError("transforms.erasing: needs full.epochs above 0; the frozen phase would ignore it")
        if self.sampling == "balanced" and self.loss.class_weights == "balanced":
            raise ValueError("sampling: balanced and loss.class_weights: balanced would both make up for rare classes; "
                             "set one of them")
        return self
