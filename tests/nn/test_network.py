"""The network: shapes, switches, equations, gradients, tracing, checkpoints."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from apnt.errors import InputError
from apnt.nn import APNTConfig, APNTFusion, checkpoint, domains
from apnt.nn.blending import PaperOutput, ResidualOutput
from apnt.nn.blocks import averaged
from apnt.nn.convolution import join
from apnt.nn.domains import MEDIUM, SHORT
from apnt.nn.features import MatchFeatures, VGG19Features
from apnt.nn.matching import progressive_match, propagated, search_first
from apnt.ops import window_match
from apnt.tonemap import mu_law, mu_law_inverse

SMALL = APNTConfig(channels=(8, 8, 8), mef_blocks=1, radii=(1, 1, 2))
TIMES = torch.tensor([[1.0, 4.0, 16.0]])


def bracket(height: int = 24, width: int = 28, n: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    light = torch.rand(n, 1, 3, height, width) ** 3
    ldr = (light * TIMES[0, :, None, None, None]).clamp(0, 1) ** (1 / 2.2)
    return ldr, TIMES.expand(n, 3)


def medium(ldr: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    return ldr[:, 1] ** 2.2 / times[:, 1, None, None, None]


SWITCHES = [
    {},
    {"input": "hdr"},
    {"input": "ldr+mu"},
    {"vgg_input": "linear"},
    {"vgg_input": "mu-law"},
    {"normalize": "cosine"},
    {"normalize": "paper"},
    {"normalize": "none"},
    {"clue_gate": "paper"},
    {"output": "paper"},
    {"aligned": True},
    {"aligned": True, "output": "paper"},
    {"ms_hdr": False},
    {"transfer": False},
    {"match_levels": (0,)},
    {"match_levels": (0, 2)},
    {"match_features": "encoder"},
    {"match_features": "encoder", "aligned": True, "channels": (8, 12, 16)},
    {"motion_attention": False},
    {"scale_attention": False},
]


@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_every_switch_runs_and_learns(switch: dict[str, object]) -> None:
    network = APNTFusion(replace(SMALL, **switch))
    ldr, times = bracket()
    out = network(ldr, times)
    assert out.shape == (1, 3, 24, 28)
    assert torch.isfinite(out).all()
    # The head starts at zero, so the first step moves it alone and the second reaches everything.
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        network(ldr, times).sub(0.3).square().mean().backward()
        optimiser.step()
    dead = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not dead


def test_switches_change_the_result() -> None:
    """No switch is decoration: with the same weights, each changes the output."""
    ldr, times = bracket()
    ldr[:, 0] = ldr[:, 0].roll((1, 2), dims=(-2, -1)) + 0.1 * torch.rand(
        ldr[:, 0].shape
    )  # or every match is 0

    def outcome(config: APNTConfig) -> torch.Tensor:
        torch.manual_seed(1)
        network = APNTFusion(config)  # in training mode nothing is clamped
        torch.manual_seed(2)
        torch.nn.init.normal_(network.fusion.head.weight, std=0.05)
        with torch.no_grad():
            return network(ldr, times)

    base = outcome(SMALL)
    for switch in SWITCHES[1:]:
        # search and cosine rank alike; they differ in the score, which only the aligned network uses.
        same = switch == {"normalize": "cosine"}
        assert torch.equal(base, outcome(replace(SMALL, **switch))) == same, switch
    scored = replace(SMALL, aligned=True)
    assert not torch.equal(outcome(scored), outcome(replace(scored, normalize="cosine")))


@pytest.mark.parametrize("size", [(16, 16), (17, 19), (18, 16), (30, 45)])
def test_any_size_and_batch(size: tuple[int, int]) -> None:
    network = APNTFusion(replace(SMALL, aligned=True)).eval()
    ldr, times = bracket(*size, n=2)
    out, maps = network(ldr, times, return_maps=True)
    assert out.shape == (2, 3, *size)
    assert out.min() >= 0
    assert out.max() <= 1
    halves = [(-(-size[0] // 2**s), -(-size[1] // 2**s)) for s in range(3)]
    assert [tuple(m.shape) for m in maps["offset"]] == [(2, 2, *h) for h in halves]
    assert [tuple(m.shape) for m in maps["score"]] == [(2, *h) for h in halves]
    assert all(m.dtype == torch.int32 for m in maps["offset"])
    assert [len(maps[k]) for k in ("motion", "saturation", "scale")] == [2, 2, 3]
    for name in ("motion", "saturation", "scale"):
        assert all(m.shape == (2, 8, *size) and (m >= 0).all() and (m <= 1).all() for m in maps[name])


def test_an_image_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    network = APNTFusion(replace(SMALL, aligned=True)).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    ldr, times = bracket(n=2)
    both = network(ldr, times)
    assert torch.allclose(both[1:], network(ldr[1:], times[1:]), atol=1e-5)


def test_untrained_residual_network_is_the_medium_exposure() -> None:
    ldr, times = bracket()
    out = APNTFusion(SMALL).eval()(ldr, times)
    error = (mu_law(out) - mu_law(medium(ldr, times))).abs()
    assert error.mean() < 0.01


def test_times_are_relative() -> None:
    network = APNTFusion(SMALL).eval()
    ldr, times = bracket()
    assert torch.allclose(network(ldr, times), network(ldr, times / 400), atol=1e-6)


def test_exposure_domains_by_hand() -> None:
    ldr = torch.tensor([0.5, 1.0, 0.95]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 1, 1)
    radiance = domains.to_radiance(ldr, TIMES)
    assert radiance[0, :, 0, 0, 0].tolist() == pytest.approx([0.5**2.2, 1 / 4, 0.95**2.2 / 16])
    level = domains.saturation_level(TIMES, MEDIUM)
    assert level.item() == pytest.approx(0.95**2.2 / 4)
    masked = domains.ms_hdr(torch.tensor([0.1, 0.9]).view(1, 1, 1, 2), level)
    assert masked.flatten().tolist() == pytest.approx([0.1, 0.95**2.2 / 4])
    assert domains.saturation_mask(
        torch.tensor([[0.1, 0.3], [0.1, 0.1]]).view(1, 2, 1, 2), level
    ).tolist() == [[[[0.0, 1.0]]]]
    assert domains.to_display(level / 2, level).item() == pytest.approx(0.5 ** (1 / 2.2))


def test_residual_output_by_hand() -> None:
    candidates = [torch.full((1, 3, 1, 1), v) for v in (0.1, 0.4, 0.2)]
    head = torch.zeros(1, 6, 1, 1)
    head[0, 3] = -ResidualOutput.INITIAL  # cancels the head start: equal shares
    head[0, 0] = 0.1
    tones = [mu_law(c) for c in candidates]
    out = ResidualOutput()(head, torch.full((1, 1, 1, 1), 0.5), candidates[0], tones)
    t = [tone[0, 0, 0, 0] for tone in tones]
    plain = 0.5 * t[0] + 0.5 * sum(t) / 3
    expected = [mu_law_inverse(plain + torch.tanh(torch.tensor(r))).item() for r in (0.1, 0.0, 0.0)]
    assert out.flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_paper_output_by_hand() -> None:
    """Eq. 14: H_m * (1 - w) + sigmoid(N_mef)."""
    head = torch.tensor([0.0, 2.0, -1.0]).view(1, 3, 1, 1)
    out = PaperOutput()(head, torch.full((1, 1, 1, 1), 0.25), torch.full((1, 3, 1, 1), 0.4), [])
    assert out.flatten().tolist() == pytest.approx([0.3 + 0.5, 0.3 + 0.880797, 0.3 + 0.268941], rel=1e-5)


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        ({}, 1 / (1 + math.exp(-(0.5 - 1.0)))),
        ({"clue_gate": "paper"}, 1 / (1 + math.exp(-(0.622459 + 0.268941)))),
        ({"motion_attention": False}, 1 / (1 + math.exp(-(1.0 - 1.0)))),
        ({"motion_attention": False, "clue_gate": "paper"}, 1 / (1 + math.exp(-(1.0 + 0.268941)))),
    ],
)
def test_clue_gate_by_hand(switch: dict[str, object], expected: float) -> None:
    """Eq. 9 with a motion logit of 0.5 and a saturation logit of -1."""
    network = APNTFusion(replace(SMALL, **switch))
    if network.config.motion_attention:
        last = network.motion_short.layers[2]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, 0.5)
    features = torch.rand(1, 8, 4, 4)
    motion = network._motion(SHORT, features, features)
    gate = network._clue_gate(motion, torch.full((1, 8, 4, 4), -1.0))
    assert gate.flatten().tolist() == pytest.approx([expected] * 128, rel=1e-5)


@pytest.mark.parametrize("switched_off", [(), ("motion_attention", "scale_attention")])
def test_fusion_stream_receives_eq_13(switched_off: tuple[str, ...]) -> None:
    """The terms are A_sc^2 up(F_dec^2), A_sc^1 up(F_dec^1), A_sc^0 F_dec^0, F_m, F_s A_mt^s, F_l A_mt^l."""
    torch.manual_seed(0)
    network = APNTFusion(replace(SMALL, **dict.fromkeys(switched_off, False))).eval()
    seen: dict[str, object] = {}
    network.fusion.register_forward_pre_hook(lambda _, inputs: seen.update(terms=inputs[0]))
    network.decoder.register_forward_hook(lambda *call: seen.update(decoded=call[2]))
    ldr, times = bracket(24, 28)
    with torch.no_grad():
        _, maps = network(ldr, times, return_maps=True)
        light = domains.to_radiance(ldr, times)
        features = [network.exposure_features(torch.cat([ldr[:, k], light[:, k]], dim=1)) for k in range(3)]
        fine, middle, coarse = seen["decoded"]
        blending = network.blending
        expected = [
            maps["scale"][2] * blending.up2(coarse),
            maps["scale"][1] * blending.up1(middle),
            maps["scale"][0] * fine,
            features[1],
            features[0] * maps["motion"][0],
            features[2] * maps["motion"][1],
        ]
    assert torch.equal(maps["scale"][2], maps["saturation"][1])  # eq. 12
    assert len(seen["terms"]) == len(expected)
    for (features, weight), wanted in zip(seen["terms"], expected, strict=True):
        assert torch.allclose(features if weight is None else features * weight, wanted, atol=1e-6)
    if switched_off:
        assert all((m == 1).all() for m in [*maps["motion"], *maps["scale"][:2]])


@pytest.mark.parametrize("aligned", [False, True])
def test_motion_attention_is_computed_once_for_each_pair_of_features(aligned: bool) -> None:
    network = APNTFusion(replace(SMALL, aligned=aligned)).eval()
    calls = []
    for attention in (network.motion_short, network.motion_long):
        attention.register_forward_hook(lambda module, *_: calls.append(module))
    network(*bracket())
    # What is aligned has new features.
    assert (calls.count(network.motion_short), calls.count(network.motion_long)) == (1 + aligned, 1)


def test_progressive_match_follows_a_shift() -> None:
    torch.manual_seed(3)
    picture = torch.randn(1, 3, 72, 72)
    source, target = picture[..., 4:64, 4:64], picture[..., 12:, 12:]
    pyramid = [[torch.nn.functional.avg_pool2d(x, 2**s) for s in range(3)] for x in (source, target)]
    match = progressive_match(*pyramid, radii=(1, 1, 3), normalize="cosine")
    for level, offset in enumerate(match.offsets):
        inside = slice(2, 60 // 2**level - 8 // 2**level - 2)
        assert (offset[0, :, inside, inside] == 8 // 2**level).float().mean() > 0.95, level
    only = progressive_match(*pyramid, radii=(1, 1, 9), levels=(0,), normalize="cosine")
    assert (only.offsets[0][0, :, 4:-12, 4:-12] == 8).float().mean() > 0.95
    assert (only.offsets[2][0, :, 1:-3, 1:-3] == 2).all()
    assert only.offsets[2].shape == match.offsets[2].shape


def test_a_right_match_spreads_to_its_neighbours() -> None:
    torch.manual_seed(3)
    target = torch.randn(1, 8, 32, 32)
    source = target.roll((0, 5), dims=(2, 3))
    options = {"patch_size": 3, "normalize": "cosine"}
    offsets = torch.zeros(1, 2, 32, 32, dtype=torch.int32)
    offsets[:, 1, 14:18, 14:18] = 5  # known in the middle alone
    found = window_match(source, target, offsets, radius=0, **options)
    for distances, least, most in (((2,), 0.03, 0.1), ((8, 4, 2, 1), 0.4, 1.0)):
        tried = propagated(source, target, found, distances, **options)
        right = (tried[0][0] - torch.tensor([0, 5])[:, None, None]).abs().amax(dim=0) == 0
        assert least < right.float().mean() < most
        assert (tried[1] >= found[1]).all()
        again = window_match(source, target, tried[0], radius=0, **options)
        assert torch.allclose(again[1], tried[1], atol=1e-5)  # scores are those of the offsets


def test_of_equal_matches_the_one_that_was_found_first_stays() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 8, 1, 1).expand(1, 8, 24, 24).contiguous()
    found = window_match(features, features, None, radius=3, patch_size=3, normalize="cosine")
    offsets, _ = propagated(features, features, found, (2, 1), patch_size=3, normalize="cosine")
    assert torch.equal(offsets, found[0])


def test_where_smaller_pictures_mislead_the_own_place_is_searched_too() -> None:
    torch.manual_seed(0)
    target = torch.randn(1, 8, 32, 32)
    source = target.roll(2, dims=3)
    wrong = torch.full((1, 2, 32, 32), 9, dtype=torch.int32)
    options = {"radii": (1, 1, 3), "patch_size": 3, "normalize": "cosine"}
    shares = []
    for propagate in (False, True):
        offsets, _ = search_first(source, target, wrong, propagate=propagate, **options)
        right = (offsets[0] - torch.tensor([0, 2])[:, None, None]).abs().amax(dim=0) == 0
        shares.append(float(right[4:-4, 4:-4].float().mean()))
    assert shares[0] < 0.01
    assert shares[1] > 0.99


def test_vgg19_features_refuse_without_weights_and_match_a_direct_computation() -> None:
    features = VGG19Features()
    picture = torch.rand(1, 3, 16, 16)
    with pytest.raises(InputError, match="needs VGG19's weights"):
        features(picture)
    state = {}
    torch.manual_seed(0)
    for index, i, o in VGG19Features.CONVOLUTIONS:
        state |= {
            f"features.{index}.weight": torch.randn(o, i, 3, 3) / 9,
            f"features.{index}.bias": torch.rand(o),
        }
    features.load_vgg19(state)
    out = features(picture)
    assert [tuple(f.shape) for f in out] == [(1, 64, 16, 16), (1, 128, 8, 8), (1, 256, 4, 4)]
    x = (picture - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    first = torch.relu(
        torch.nn.functional.conv2d(x, state["features.0.weight"], state["features.0.bias"], padding=1)
    )
    assert torch.allclose(out[0], first, atol=1e-5)
    network = APNTFusion(replace(SMALL, match_features="vgg19"))
    network.match_features.load_vgg19(state)
    ldr, times = bracket()
    assert network.eval()(ldr, times).shape == (1, 3, 24, 28)


def test_learned_features_halve_twice() -> None:
    out = MatchFeatures((4, 6, 8))(torch.rand(2, 3, 16, 24))
    assert [tuple(f.shape) for f in out] == [(2, 4, 16, 24), (2, 6, 8, 12), (2, 8, 4, 6)]


def test_dynamo_traces_without_a_graph_break() -> None:
    network = APNTFusion(replace(SMALL, aligned=True, radii=(1, 1, 1))).eval()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    ldr, times = bracket(16, 16)
    with torch.no_grad():
        assert torch.allclose(compiled(ldr, times), network(ldr, times), atol=1e-6)


@pytest.mark.parametrize(
    ("ldr", "times", "message"),
    [
        (torch.rand(1, 3, 24, 24), TIMES, r"ldr must have shape \(N, 3, 3, H, W\)"),
        (torch.rand(1, 2, 3, 24, 24), TIMES, r"ldr must have shape \(N, 3, 3, H, W\)"),
        (torch.rand(1, 3, 3, 15, 24), TIMES, r"at least 16 pixels.*\(15, 24\)"),
        (torch.zeros(1, 3, 3, 24, 24, dtype=torch.uint8), TIMES, "floating point.*uint8"),
        (torch.rand(1, 3, 3, 24, 24), TIMES[0], r"times must have shape \(1, 3\), got \(3,\)"),
        (torch.rand(2, 3, 3, 24, 24), TIMES, r"times must have shape \(2, 3\), got \(1, 3\)"),
    ],
)
def test_wrong_input_is_named(ldr: torch.Tensor, times: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        APNTFusion(SMALL)(ldr, times)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": "raw"}, "input must be one of.*'raw'"),
        ({"match_features": "sift"}, "match_features must be one of"),
        ({"match_levels": (1, 2)}, "match_levels must be"),
        ({"radii": (2, -1, 8)}, "radii must be"),
        ({"patch_size": 4}, "patch_size must be odd"),
        ({"channels": (8, 8)}, "channels must be three"),
        ({"channels": "abc"}, "channels must be whole numbers, got 'abc'"),
        ({"channels": [8.5, 8, 8]}, "channels must be whole numbers"),
        ({"match_levels": [-1, 0]}, "match_levels must be"),
        ({"mef_blocks": "four"}, "mef_blocks must be of type int"),
        ({"reduction": 0}, "reduction must be from 1 to 4096"),
        ({"aligned": 1}, "aligned must be of type bool"),
        ({"threshold": 1.5}, "threshold must lie between 0 and 1"),
    ],
)
def test_wrong_configuration_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        APNTConfig(**change)  # type: ignore[arg-type]


def test_contradicting_and_unknown_configuration() -> None:
    with pytest.raises(InputError, match="aligned must be False where transfer is False"):
        replace(SMALL, aligned=True, transfer=False)
    with pytest.raises(InputError, match=r"unknown .*'chanels'"):
        APNTConfig.from_dict({"chanels": [8, 8, 8]})


class TestCheckpoint:
    config = replace(SMALL, aligned=True, channels=(8, 12, 16))

    def network(self) -> APNTFusion:
        network = APNTFusion(self.config).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        # The layout that from_pretrained returns: sums in another order would round otherwise.
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def same(self, one: APNTFusion, two: APNTFusion) -> bool:
        ldr, times = bracket()
        with torch.no_grad():
            return torch.equal(one(ldr, times), two(ldr, times)) and not two.training

    def test_file_folder_and_hub_layout(self, tmp_path: Path) -> None:
        network = self.network()
        network.save(tmp_path / "a.safetensors")
        loaded = APNTFusion.from_pretrained(tmp_path / "a.safetensors")
        assert loaded.config == self.config
        assert self.same(network, loaded)
        network.save_pretrained(tmp_path / "folder")
        assert self.same(network, APNTFusion.from_pretrained(tmp_path / "folder"))
        assert [p.name for p in tmp_path.glob(".*")] == []

    def test_hub_id(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        network = self.network()
        network.save(tmp_path / "model.safetensors")

        def fetch(repo: str, file: str, **options: object) -> str:
            assert (repo, file, options) == ("someone/apnt", "model.safetensors", {"revision": "v2"})
            return str(tmp_path / file)

        monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
        assert self.same(network, APNTFusion.from_pretrained("someone/apnt", revision="v2"))

    def test_names_that_mean_nothing(self, tmp_path: Path) -> None:
        for name in (
            "nosuch",
            "missing.safetensors",
            str(tmp_path / "none"),
            "./x/y",
            "a b/c",
            "a/b.safetensors",
        ):
            with pytest.raises(InputError, match="weights must be one of"):
                APNTFusion.from_pretrained(name)

    def test_a_folder_without_a_checkpoint_is_no_hub_id(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("runs/mine").mkdir(parents=True)
        with pytest.raises(InputError, match=r"a folder with model\.safetensors, and runs/mine has none"):
            checkpoint.find("runs/mine")

    def test_a_packaged_name_is_not_shadowed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "default").write_bytes(b"something else")
        assert checkpoint.find("default") == checkpoint.PACKAGED / "default.safetensors"

    def test_hub_ids_may_hold_dots(self) -> None:
        assert checkpoint.find("someone/apnt-0.1") is None

    def test_files_can_be_read_by_others(self, tmp_path: Path) -> None:
        (tmp_path / "plain").touch()
        self.network().save(tmp_path / "a.safetensors")
        assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode

    def test_read_gives_configuration_and_weights(self, tmp_path: Path) -> None:
        network = self.network()
        network.save(tmp_path / "a.safetensors", {"training": "none"})
        config, state = checkpoint.read(tmp_path / "a.safetensors")
        assert config == self.config
        assert state.keys() == network.state_dict().keys()
        assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())

    def test_a_header_that_makes_no_sense(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        for text in (
            "{",
            '{"channels": 5}',
            '{"reduction": 0}',
            '{"aligned": true, "transfer": false}',
            "[]",
        ):
            save_file({"a": torch.zeros(1)}, path, metadata={checkpoint.KEY: text})
            with pytest.raises(InputError, match="weights must carry a usable configuration"):
                APNTFusion.from_pretrained(path)

    def test_vgg19_without_its_weights_is_not_saved(self, tmp_path: Path) -> None:
        network = APNTFusion(replace(SMALL, match_features="vgg19"))
        with pytest.raises(InputError, match="must have VGG19's weights before it is saved"):
            network.save(tmp_path / "a.safetensors")
        assert list(tmp_path.iterdir()) == []

    def test_not_safetensors(self, tmp_path: Path) -> None:
        wrong = tmp_path / "w.safetensors"
        torch.save({"a": torch.zeros(1)}, wrong)
        with pytest.raises(
            InputError, match=r"weights must be a safetensors file, and .*w\.safetensors is not one"
        ):
            APNTFusion.from_pretrained(wrong)
        wrong.write_bytes(b"")
        with pytest.raises(InputError, match="weights must be a safetensors file"):
            APNTFusion.from_pretrained(wrong)

    def test_another_networks_weights(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        save_file({"a": torch.zeros(1)}, path)
        with pytest.raises(InputError, match="carries no configuration"):
            APNTFusion.from_pretrained(path)
        self.network().save(path)
        state = load_file(path)
        header = {checkpoint.KEY: json.dumps(asdict(replace(self.config, channels=(8, 8, 8))))}
        save_file(state, path, metadata=header)
        with pytest.raises(InputError, match=r"tensors do not, the first .*expected \(.*\), got \(.*\)"):
            APNTFusion.from_pretrained(path)

    def test_a_failed_save_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.safetensors"
        self.network().save(path)
        before = path.read_bytes()

        real = Path.write_bytes

        def fail(file: Path, data: bytes) -> None:
            real(file, data[: len(data) // 2])
            raise OSError("disk full")

        monkeypatch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="disk full"):
            self.network().save(path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_joined_features_are_those_that_a_convolution_takes(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    parts = [torch.randn(2, c, 5, 6) for c in (3, 1, 4)]
    parts[0] = parts[0].to(memory_format=layout)
    assert torch.equal(join(parts), torch.cat(parts, dim=1))
    with torch.autocast("cpu", torch.bfloat16):
        joined = join([parts[0].bfloat16(), *parts[1:]])
    assert joined.dtype == torch.bfloat16
    assert joined.is_contiguous(memory_format=layout)
    assert torch.equal(joined, torch.cat(parts, dim=1).bfloat16())


def test_loaded_networks_have_channels_last() -> None:
    weight = APNTFusion.from_pretrained("fast").fusion.head.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


@pytest.mark.parametrize("autocast", [False, True])
def test_pixels_become_channels_in_pytorchs_order(autocast: bool) -> None:
    torch.manual_seed(1)
    network, image = APNTFusion(replace(SMALL, stride=2)), torch.rand(2, 3, 12, 20)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = network._unshuffle(image)
    expected = torch.nn.functional.pixel_unshuffle(image, 2)
    assert torch.equal(found, expected.bfloat16() if autocast else expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [1, 2])
def test_means_of_squares_are_pytorchs(size: int) -> None:
    torch.manual_seed(1)
    image = torch.rand(2, 3, 12, 20)
    expected = torch.nn.functional.avg_pool2d(image, size)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            torch.testing.assert_close(averaged(image, size), expected)
