"""Careless changes, each as a replacement of text in the package."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ARCHITECTURE, HRNET = (f"model/{name}.py" for name in ("architecture", "hrnet"))
STEP, FIT = "training/step.py", "training/fit.py"
LOSSES, SETUP = "losses.py", "run/setup.py"
SAMPLES, IMAGES = "data/samples.py", "data/images.py"

Change = tuple[str, str, str]
"""A file of the package, what stands there, and what is put in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A planted footprint regression."""

    name: str
    """What was done."""
    changes: tuple[Change, ...]
    """How."""
    of: Literal["exits", "train", "data"] = "exits"
    """Which work it makes costlier, and so which gate is asked."""
    why_missed: str = ""
    """Why no gate can find it; empty for what must be found."""

    def plant(self, package: Path) -> None:
        """Change a copy of the package; what is to be replaced must stand there exactly once."""
        for name, before, after in self.changes:
            text = (package / name).read_text(encoding="utf-8")
            assert text.count(before) == 1, f"{self.name}: {before!r} stands {text.count(before)} times in {name}"
            (package / name).write_text(text.replace(before, after), encoding="utf-8")


def _mutant(name: str, *changes: Change, why_missed: str = "") -> Mutant:
    return Mutant(name=name, changes=changes, why_missed=why_missed)


def _in_line(file: str, line: str, before: str, after: str) -> Change:
    """Return a change of a part of a line."""
    assert before in line
    return file, line, line.replace(before, after)


FIRST_CONV = (
    "        self.conv1, self.bn1 = conv_bn(channels, channels, 3)\n        self.relu = nn.ReLU(inplace=True)\n"
)
SECOND_CONV = "        self.conv2, self.bn2 = conv_bn(channels, channels, 3)\n\n"
BLOCK_END = '        out = self.bn2(self.conv2(out))\n        out += x\n        return cast("Tensor", self.relu(out))\n'
ENLARGE = (
    '        enlarge = nn.Upsample(scale_factor=2 ** (branch - row), mode="nearest")\n'
    "        return nn.Sequential(*conv_bn(widths[branch], widths[row], 1), enlarge)\n"
)
FUSE_START = "        super().__init__()\n        self.branches"
FUSE_TOTAL = "            total = term if total is None else total + term\n"
FUSE_END = '        return cast("Tensor", self.relu(total))\n'
READ = '        return cast("Tensor", self._net.heads[str(exit_number)](self._finest))\n'
REFINE = "        self._branches = last.refine(before)\n"
CALL = "        forward = IncrementalForward(self, images)\n"
INIT_END = "        _draw_normal(self.heads)\n"
ALONE = "        return self.heatmaps(images)[self.depth]\n"
TORCH = "import torch\n"


def _each_call(line: str) -> Change:
    """Return what does something at the start of every call."""
    return HRNET, CALL, f"        {line}\n{CALL}"


def _hook(body: str) -> Change:
    """Return what leaves a hook on every module."""
    lines = (
        "        self.seen = []\n"
        "        for module in self.modules():\n"
        f"            module.register_forward_hook(lambda module, given, out: {body})\n"
    )
    return HRNET, INIT_END, INIT_END + lines


def _head(expression: str) -> Change:
    """Return what reads an exit in another way."""
    return _in_line(HRNET, READ, HEAD, expression)


HEAD = "self._net.heads[str(exit_number)](self._finest)"

MUTANTS = (
    _mutant(
        "an extra 1x1 convolution in every block",
        (HRNET, SECOND_CONV, SECOND_CONV[:-1] + "        self.extra = nn.Conv2d(channels, channels, 1)\n\n"),
        _in_line(HRNET, BLOCK_END, "self.bn2(self.conv2(out))", "self.extra(self.bn2(self.conv2(out)))"),
    ),
    _mutant("a 3x3 convolution in the fuse", _in_line(HRNET, ENLARGE, "widths[row], 1)", "widths[row], 3)")),
    _mutant("a 5x5 kernel in every block", _in_line(HRNET, SECOND_CONV, "channels, 3)", "channels, 5)")),
    _mutant(
        "a stride lost in the stem",
        (HRNET, "conv_bn(stem_width, stem_width, 3, stride=2)", "conv_bn(stem_width, stem_width, 3)"),
    ),
    _mutant("a bias before every norm", (HRNET, "kernel // 2, bias=False)", "kernel // 2, bias=True)")),
    _mutant(
        "a norm too many behind the fuse",
        _in_line(
            HRNET,
            FUSE_START,
            "self.branches",
            "self.again = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)\n        self.branches",
        ),
        _in_line(HRNET, FUSE_END, "self.relu(total)", "self.relu(self.again[row](total))"),
    ),
    _mutant("outputs kept that nobody reads", (HRNET, "[1 if stage == self.depth else len(widths)]", "[len(widths)]")),
    _mutant(
        "an early exit that computes the deeper stages",
        (ARCHITECTURE, "self.at((exit_number,))", "self.at([k for k in self.exits if k >= exit_number])"),
        _in_line(HRNET, ALONE, "self.depth", "self.exits[0]"),
    ),
    _mutant("a head computed twice", _head(f"({HEAD}, {HEAD})[1]")),
    _mutant(
        "a summary of exits that are not asked for",
        (HRNET, REFINE, f"{REFINE}        self.summary = before[0].mean(dim=1, keepdim=True)\n"),
    ),
    _mutant(
        "double precision in the fuse",
        _in_line(HRNET, FUSE_TOTAL, "total + term", "(total.double() + term.double()).float()"),
    ),
    _mutant("a forgotten eval()", _each_call("self.train()")),
    _mutant(
        "norms that always average over the batch",
        (HRNET, "nn.BatchNorm2d(channels_out)\n", "nn.BatchNorm2d(channels_out, track_running_stats=False)\n"),
    ),
    _mutant(
        "gradients left on",
        _in_line(HRNET, ALONE, "return", "with torch.inference_mode(False), torch.enable_grad():\n            return"),
    ),
    _mutant(
        "a hook left on that watches activations",
        _hook("self.seen.append(float(out.abs().mean())) if isinstance(out, Tensor) else None"),
    ),
    _mutant("activations kept for a plot", _hook("self.seen.__setitem__(slice(-99, None), [*self.seen[-98:], out])")),
    _mutant("an activation computed twice", _in_line(HRNET, BLOCK_END, "self.relu(out)", "self.relu(self.relu(out))")),
    _mutant("activations not in place", _in_line(HRNET, FIRST_CONV, "inplace=True", "inplace=False")),
    _mutant("bilinear instead of nearest", _in_line(HRNET, ENLARGE, '"nearest"', '"bilinear"')),
    _mutant("a copy in every block", _in_line(HRNET, BLOCK_END, "out += x", "out += x.clone()")),
    _mutant("a softmax that nobody asked for", _head(f"{HEAD}.softmax(-1)")),
    _mutant(
        "images one by one",
        (
            HRNET,
            ALONE,
            "        each = [self.heatmaps(image)[self.depth] for image in images.split(1)]\n"
            "        return torch.cat(each)\n",
        ),
    ),
    _mutant("a way through numpy", _head(f"torch.from_numpy({HEAD}.detach().numpy().copy())")),
    _mutant(
        "a deep copy in every call",
        (HRNET, TORCH, f"import copy\n\n{TORCH}"),
        _head("copy.deepcopy(self._net.heads)[str(exit_number)](self._finest)"),
    ),
    _mutant("weights checked in every call", _each_call("assert all(p.isfinite().all() for p in self.parameters())")),
    _mutant("names listed in every call", _each_call("self.names = [[*self.named_parameters()] for _ in range(5)]")),
    _mutant(
        "channels last lost",
        _in_line(
            SETUP,
            "    return net.to(memory_format=torch.channels_last)",
            "net.to(memory_format=torch.channels_last)",
            "net",
        ),
    ),
    _mutant(
        "another memory layout in every block",
        _in_line(HRNET, BLOCK_END, "        out += x\n", "        out = out.contiguous() + x.contiguous()\n"),
    ),
    _mutant("fast kernels switched off", _each_call("torch.backends.mkldnn.enabled = False")),
    _mutant(
        "dropout before the heads",
        _head(HEAD.replace("self._finest", "nn.functional.dropout(self._finest, 0.1, self._net.training)")),
    ),
    _mutant(
        "a message made in every call",
        _each_call('self.message = f"{self.architecture} {tuple(images.shape)}"'),
        why_missed="some microseconds of a call's milliseconds, below what any rule without false alarms can see",
    ),
)
"""What is planted in the network, from what changes it to what only changes how it is run."""

TARGET = "        target = torch.from_numpy(batch.heatmaps).to(self.device)\n"
PIXELS = "        images = to_images(batch.images, self.device)\n"
TERMS = "        terms = self._objective(self._forward(images), target, counts)\n"
DROP = "        self._optimizer.zero_grad(set_to_none=True)\n"
MOVE = "        self._optimizer.step()\n"
NAMED = "        return _named(terms)\n"
FETCH = "    return dict(zip(named, torch.stack([value.detach() for value in named.values()]).tolist(), strict=True))\n"
ADAM = " Adam(net.parameters(), lr=recipe.lr, fused=True)"
MSE = "    return 0.5 * functional.mse_loss(prediction, target)\n"
_DOUBLED = "{k: maps.double() for k, maps in self._forward(images).items()}, target.double()"
_TWICE = "    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)\n"


def _of_training(name: str, *changes: Change) -> Mutant:
    return Mutant(name=name, changes=changes, of="train")


def _before(anchor: str, line: str) -> Change:
    """Return a line more in a step."""
    return STEP, anchor, f"        {line}\n{anchor}"


def _adam(how: str) -> Change:
    return FIT, ADAM, ADAM.replace("fused=True", how)


TRAINING = (
    _of_training("anomaly detection left on", _each_call("torch.autograd.set_detect_anomaly(True)")),
    _of_training(
        "a graph kept through backward",
        (STEP, "terms.total * weight).backward()", "terms.total * weight).backward(retain_graph=True)"),
    ),
    _of_training(
        "heatmaps of past steps kept with their graphs",
        (
            STEP,
            TERMS,
            "        outputs = self._forward(images)\n"
            '        self.__dict__.setdefault("seen", []).append(outputs)\n'
            f"{TERMS.replace('self._forward(images)', 'outputs')}",
        ),
    ),
    _of_training("losses kept with their graphs", _before(NAMED, 'self.__dict__.setdefault("seen", []).append(terms)')),
    _of_training("an optimiser that is not fused", _adam("foreach=True")),
    _of_training("an optimiser that goes weight by weight", _adam("foreach=False")),
    _of_training("an optimiser that keeps the greatest moments", _adam("fused=True, amsgrad=True")),
    _of_training(
        "gradients of the images, which nobody trains",
        (STEP, PIXELS, PIXELS.replace("self.device)", "self.device).requires_grad_()")),
    ),
    _of_training(
        "gradients of the labels", (STEP, TARGET, TARGET.replace("to(self.device)", "to(self.device).requires_grad_()"))
    ),
    _of_training(
        "gradients of a teacher that is frozen",
        (LOSSES, "    if detach_teacher:\n        teacher = teacher.detach()\n", ""),
    ),
    _of_training(
        "a squared error image by image",
        (
            LOSSES,
            MSE,
            "    pairs = zip(prediction, target, strict=True)\n"
            "    return 0.5 * torch.stack([functional.mse_loss(one, other) for one, other in pairs]).mean()\n",
        ),
    ),
    _of_training(
        "a divergence joint by joint",
        (
            LOSSES,
            "    return functional.log_softmax(heatmaps.flatten(2) / temperature, dim=-1)\n",
            "    joints = [functional.log_softmax(one.flatten(1) / temperature, -1) for one in heatmaps.unbind(1)]\n"
            "    return torch.stack(joints, 1)\n",
        ),
    ),
    _of_training(
        "accuracy on every step",
        (STEP, "from greenpose.losses", "from greenpose.accuracy import pck\nfrom greenpose.losses"),
        (
            STEP,
            TERMS,
            "        outputs = self._forward(images)\n"
            "        self.pck = {k: pck(maps.detach().cpu().numpy(), batch.heatmaps) for k, maps in outputs.items()}\n"
            f"{TERMS.replace('self._forward(images)', 'outputs')}",
        ),
    ),
    _of_training("gradients zeroed instead of dropped", (STEP, DROP, DROP.replace("True", "False"))),
    _of_training(
        "every loss fetched by itself",
        (STEP, FETCH, "    return {name: float(value) for name, value in named.items()}\n"),
    ),
    _of_training(
        "the gradients' norm watched",
        _before(MOVE, "self.norm = float(nn.utils.clip_grad_norm_(self._net.parameters(), 1e9))"),
    ),
    _of_training(
        "weights copied on every step",
        (STEP, "from collections import deque", "import copy\nfrom collections import deque"),
        _before(NAMED, "self.last = copy.deepcopy(self._partly.state_dict())"),
    ),
    _of_training(
        "an average of the weights that nobody asked for",
        (STEP, "get_ema_multi_avg_fn(decay) if decay else None", "get_ema_multi_avg_fn(decay or 0.99)"),
    ),
    _of_training("a loss in double precision", (STEP, TERMS, TERMS.replace("self._forward(images), target", _DOUBLED))),
    _of_training(
        "channels last lost in the images",
        (STEP, "    return images.permute(0, 3, 1, 2)\n", "    return images.permute(0, 3, 1, 2).contiguous()\n"),
    ),
    _of_training(
        "rubbish collected on every step",
        (STEP, "from collections import deque", "import gc\nfrom collections import deque"),
        _before(NAMED, "gc.collect()"),
    ),
    _of_training(
        "a collage of the batch made on every step",
        (STEP, "from collections import deque", "import cv2\nfrom collections import deque"),
        _before(NAMED, 'self.seen = cv2.imencode(".png", cv2.resize(np.vstack([*batch.images]), None, fx=4, fy=4))'),
    ),
)
"""What is planted in the training's step."""


def _of_data(name: str, *changes: Change) -> Mutant:
    return Mutant(name=name, changes=changes, of="data")


DATA = (
    _of_data(
        "images decoded anew in every epoch",
        (SAMPLES, "stacked(list(each(indices))) if kept is None else kept[indices]", "stacked(list(each(indices)))"),
    ),
    _of_data(
        "an image read for every subject in it",
        (SAMPLES, "reader(instance) if image is None or instance.image != name else image", "reader(instance)"),
    ),
    _of_data(
        "files read twice",
        (
            IMAGES,
            "        return Path(path).read_bytes()\n",
            "        return Path(path).read_bytes() and Path(path).read_bytes()\n",
        ),
    ),
    _of_data(
        "images decoded twice to be sure", (IMAGES, "    if decoded is None:\n", _TWICE + "    if decoded is None:\n")
    ),
    _of_data(
        "grey worked out pixel by pixel instead of looked up",
        (
            IMAGES,
            "    grey: np.ndarray = _grey_table(float(near), float(far))[whole]\n",
            "    share = np.clip((whole - float(near)) / (float(far) - float(near)), 0, 1)\n"
            "    grey: np.ndarray = np.where(whole == 0, 0, np.rint(1 + 254 * share)).astype(np.uint8)\n",
        ),
    ),
)
"""What is planted in the way of images to batches."""
PLANTED = (*MUTANTS, *TRAINING, *DATA)
"""All of them."""
