"""APNT-Fusion (Fig. 1c): the boxes wired together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apnt.errors import InputError
from apnt.nn import checkpoint
from apnt.nn.alignment import CONSISTENCY, Exposure, align, consistency
from apnt.nn.attention import ExposureFeatures, MotionAttention, Reweighting, SaturationAttention
from apnt.nn.blending import FusionStream, PaperOutput, ResidualOutput, TextureBlending
from apnt.nn.blocks import averaged, constant, resize, sigmoid
from apnt.nn.confidence import confidence_head, expected_error
from apnt.nn.config import APNTConfig
from apnt.nn.convolution import as_convolved
from apnt.nn.domains import (
    LONG,
    MEDIUM,
    SHORT,
    ms_hdr,
    saturation_level,
    saturation_mask,
    to_display,
    to_radiance,
)
from apnt.nn.features import MatchFeatures, VGG19Features
from apnt.nn.halving import LONGEST, halved, inner_side, search_coarsest, sides
from apnt.nn.inputs import check_bracket, check_sides, cut, enlarge, pad
from apnt.nn.matching import First, Match, backward_distance, progressive_match
from apnt.nn.merge import merge
from apnt.nn.rows import by_rows, takes_strips
from apnt.nn.transfer import Decoder, Encoder, swap
from apnt.ops.subpixel import parabola
from apnt.tonemap import mu_law

Pyramids = tuple[list[Tensor], list[Tensor]]
"""Matching features of a source and of the medium exposure, at three scales each."""


class Seen(NamedTuple):
    """What the network sees in the exposures as they came.

    Attributes:
        exposures: short, medium, long.
        f_medium: features, (N, C, H / stride, W / stride), as all that follow.
        a_sat_short: logits of A_sat^s.
        a_sat_weight: A_sat^m.
        f_short: features; None where nobody asked for them, as the next.
        motion_short: see :meth:`APNTFusion._motion`.
    """

    exposures: list[Exposure]
    f_medium: Tensor
    a_sat_short: Tensor
    a_sat_weight: Tensor
    f_short: Tensor | None = None
    motion_short: Tensor | None = None


class APNTFusion(nn.Module):
    """Fuse a short, a medium and a long exposure into one HDR image, aligned to the medium one.

    >>> model = APNTFusion.from_pretrained("default").eval()
    >>> radiance = model(ldr, times)

    Args:
        config: every choice; :class:`APNTConfig` names them. None builds the paper's network.
    """

    def __init__(self, config: APNTConfig | None = None):
        super().__init__()
        self.config = config = config or APNTConfig()
        self.longest = LONGEST  # side of a picture that graphs of this network take, pixels
        c0 = config.channels[0]
        unshuffled = config.stride**2  # number of channels that pixel unshuffling makes of one
        self.exposure_features = ExposureFeatures((3 if config.input == "hdr" else 6) * unshuffled, c0)
        if config.motion_attention:
            self.motion_short, self.motion_long = MotionAttention(c0), MotionAttention(c0)
        self.saturation_attention = SaturationAttention(c0)
        self.reweighting = Reweighting(c0)
        self.encoder = Encoder(config.channels, config.reduction)
        self.decoder = Decoder(config.channels, config.reduction)
        self.blending = TextureBlending(config.channels, config.scale_attention)
        if config.transfer and config.match_features != "encoder":
            vgg19 = config.match_features == "vgg19"
            features = (
                VGG19Features()
                if vgg19
                else MatchFeatures(dilations=config.match_dilations, flow=config.flow)
            )
            self.match_features = features.requires_grad_(False)
        candidates = (5 if config.aligned else 3) + config.merge
        terms = 6 * c0 + (3 * candidates * unshuffled + 6 if config.aligned else 0)
        if config.consistency:
            terms += CONSISTENCY * unshuffled
        heads = 3 if config.output == "paper" else 3 + candidates
        self.fusion = FusionStream(terms, c0, config.mef_blocks, heads * unshuffled, config.reduction)
        if config.confidence:
            self.confidence = confidence_head(c0, config.confidence_channels, unshuffled)
        self.output = PaperOutput() if config.output == "paper" else ResidualOutput()
        self._initialise()

    def _initialise(self) -> None:
        """Xavier (paper, IV-E); a head of zeros makes the residual output start from the medium exposure."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.config.output == "residual":
            nn.init.zeros_(self.fusion.head.weight)

    def forward(
        self, ldr: Tensor, times: Tensor, return_maps: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, list[Tensor]]]:
        """Fuse brackets.

        Args:
            ldr: (N, 3, 3, H, W) exposures short to long, RGB, display-referred in [0, 1]; H and W from 16.
            times: (N, 3) exposure times in any unit, ascending.
            return_maps: also return the attention maps and the matches.

        Returns:
            (N, 3, H, W) float32 linear radiance, where the short exposure saturates at 1: in [0, 1] in
            evaluation mode, not clamped in training mode. With ``return_maps`` also a dictionary: ``motion``
            (list of two (N, C, H, W), short and long), ``saturation`` (list of two (N, C, H, W), short and
            medium), ``scale`` (list of three (N, C, H, W), A_sc^0 to A_sc^2), ``offset`` (three (N, 2, H_l,
            W_l) int32) and ``score`` (three (N, H_l, W_l)), at full, half and quarter size; the last two are
            empty lists without transfer; ``error`` (list of one (N, 1, H, W)), the expected absolute error
            of the result after the mu-law, empty without ``config.confidence``. With ``config.stride`` 2 all
            but ``error`` have half these sizes.

        Raises:
            InputError: wrong rank, channels, size or type.
        """
        check_bracket(ldr, times)
        if self.config.reach and torch.compiler.is_compiling():
            check_sides(ldr, *sides(self.config, self.longest))
        self._check_dtype()
        height, width = ldr.shape[-2:]
        border = self.config.border
        radiance, maps = self._forward(pad(ldr.float(), 4 * self.config.stride, border), times.float())
        radiance = cut(radiance, height, width, border)
        if not self.training:
            radiance = radiance.clamp(0, 1)
        if not return_maps:
            return radiance
        for name, stack in maps.items():
            stride = 1 if name == "error" else self.config.stride
            steps = [stride << (k if name in ("offset", "score") else 0) for k in range(len(stack))]
            maps[name] = [
                cut(m, -(-height // step), -(-width // step), border // step)
                for m, step in zip(stack, steps, strict=True)
            ]
        return radiance, maps

    def _check_dtype(self) -> None:
        dtype = next(self.parameters()).dtype
        if dtype != torch.float32:
            raise InputError(
                f"the network must hold float32 weights, got {dtype}: call .float(), and for half precision "
                "torch.autocast"
            )

    def _forward(self, ldr: Tensor, times: Tensor) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """:meth:`forward` with maps, for a size that the scales divide: neither clamped nor cut to size."""
        times = times / times.amin(dim=1, keepdim=True)
        seen = self._look(ldr, times)
        matches = self._matches(seen, times)
        encoded = self._encode(seen)
        if matches:
            encoded = swap(encoded, matches[0].offsets, self.config.patch_size)
        decoded = self.decoder(encoded)
        del encoded
        aligned = self._align(seen.exposures, times, matches)
        return self._blend(seen, times, decoded, matches, aligned)

    def _look(self, ldr: Tensor, times: Tensor, short: bool = True) -> Seen:
        """What is seen in the exposures (N, 3, 3, H, W) as they came; ``times`` are relative.

        The features of the short one, and its motion, where ``short`` asks for them: they are encoded.
        """
        radiance = to_radiance(ldr, times, self.config.gamma)
        a_sat_short, a_sat_medium = self._saturation(radiance, times)
        exposures = [Exposure(ldr[:, k], radiance[:, k], mu_law(radiance[:, k])) for k in range(3)]
        f_medium = self._exposure_features(exposures[MEDIUM])
        seen = Seen(exposures, f_medium, a_sat_short, sigmoid(a_sat_medium))
        if not short:
            return seen
        f_short = self._exposure_features(exposures[SHORT])
        return seen._replace(f_short=f_short, motion_short=self._motion(SHORT, f_short, f_medium))

    def _clue(self, seen: Seen) -> Tensor:
        """F_nft: the short exposure's features, gated (eq. 9)."""
        assert seen.f_short is not None
        assert seen.motion_short is not None
        parts = [seen.f_short, seen.motion_short, seen.a_sat_short]
        return by_rows(lambda f, *logits: f * self._clue_gate(*logits), parts, 0, seen.f_short.shape[1])

    def _encode(self, seen: Seen) -> list[Tensor]:
        """What is swapped by the match and decoded; without transfer the medium exposure's own."""
        return self.encoder(self._clue(seen) if self.config.transfer else seen.f_medium)

    def _matches(self, seen: Seen, times: Tensor) -> list[Match]:
        """Of the medium exposure with the short one and, for ``aligned``, with the long one; or none."""
        if not self.config.transfer:
            return []
        sources = (SHORT, LONG) if self.config.aligned else (SHORT,)
        return [self._match(seen, times, source) for source in sources]

    def _align(self, exposures: list[Exposure], times: Tensor, matches: list[Match]) -> list[Exposure]:
        """The short and the long exposure on the medium one; none without ``aligned``."""
        if not self.config.aligned:
            return []
        pairs = zip((SHORT, LONG), matches, strict=True)
        numbered = dict(enumerate(exposures))
        return [self._align_one(numbered, times, k, found) for k, found in pairs]

    def _align_one(
        self, exposures: Mapping[int, Exposure], times: Tensor, source: int, match: Match
    ) -> Exposure:
        return align(exposures, times, source, match, self.config)

    def _blend(
        self,
        seen: Seen,
        times: Tensor,
        decoded: list[Tensor],
        matches: list[Match],
        aligned: list[Exposure],
    ) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """The fusion stream and the output (eq. 10-14), with maps.

        Args:
            seen: from :meth:`_look`, with the short exposure unless it is aligned.
            times: relative.
            decoded: the decoder's, three scales.
            matches: from :meth:`_matches`; of their offsets nothing but maps is made.
            aligned: from :meth:`_align`.
        """
        config, a_sat_weight, f_medium = self.config, seen.a_sat_weight, seen.f_medium
        exposures, f_short, motion_short = list(seen.exposures), seen.f_short, seen.motion_short
        terms, scale = self.blending(decoded, a_sat_weight)

        # Candidates of the output's mixture; the medium exposure comes first.
        candidates = [exposures[k].compressed for k in (MEDIUM, SHORT, LONG)]
        extra: list[Tensor] = []
        if aligned:
            for k, found, moved in zip((SHORT, LONG), matches, aligned, strict=True):
                exposures[k] = moved
                candidates.append(moved.compressed)
                extra += [enlarge(score[:, None], 2**halvings) for halvings, score in enumerate(found.scores)]
            f_short = self._exposure_features(exposures[SHORT])
            motion_short = self._motion(SHORT, f_short, f_medium)
            extra += [self._unshuffle(candidate) for candidate in candidates]
            if config.merge:
                candidates.append(mu_law(merge([e.ldr for e in exposures], times, config.gamma)))
                extra.append(self._unshuffle(candidates[-1]))
            if config.consistency:
                pair = matches[0], matches[1]
                extra.append(self._unshuffle(consistency(exposures, times, pair, config)))
        f_long = self._exposure_features(exposures[LONG])

        assert f_short is not None
        assert motion_short is not None
        motion = [motion_short, self._motion(LONG, f_long, f_medium)]
        if config.motion_attention:
            motion = [sigmoid(logits) for logits in motion]
        f_mef = [(f_medium, None), (f_short, motion[0]), (f_long, motion[1])]  # eq. 4
        head, fused = self.fusion([*terms, *f_mef, *((x, None) for x in extra)])  # eq. 13
        weight = self.reweighting(a_sat_weight)
        error = self._expected(fused.detach()) if config.confidence else None
        if config.stride > 1:
            head = F.pixel_shuffle(head, config.stride)
            weight = resize(weight, head.shape[-2:])
        result = self.output(head, weight, exposures[MEDIUM].radiance, candidates)  # eq. 14
        maps: dict[str, list[Tensor]] = {
            "motion": motion,
            "saturation": [sigmoid(seen.a_sat_short), a_sat_weight],
            "scale": [*scale, a_sat_weight],
            "offset": matches[0].offsets if matches else [],
            "score": matches[0].scores if matches else [],
            "error": [] if error is None else [error],
        }
        return result, maps

    def _expected(self, fused: Tensor) -> Tensor:
        """(N, 1, H, W) :func:`expected_error`, of the fusion stream's (N, C, H / stride, W / stride)."""
        head = self.confidence(fused).float()
        return expected_error(F.pixel_shuffle(head, self.config.stride) if self.config.stride > 1 else head)

    def _saturation(self, radiance: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of A_sat of the short and the medium exposure, (N, C, H, W) each.

        Both masks mark pixels at or above the radiance at which the medium exposure saturates.
        """
        level = saturation_level(times, MEDIUM, self.config.gamma, self.config.threshold)
        # With a stride, one feature stands for several pixels: it is saturated where any of them is.
        short, medium = (
            F.max_pool2d(saturation_mask(radiance[:, k], level), self.config.stride) for k in (SHORT, MEDIUM)
        )
        a_sat_short, a_sat_medium = self.saturation_attention(torch.cat([short, medium])).chunk(2)
        return a_sat_short, a_sat_medium

    def _exposure_features(self, exposure: Exposure) -> Tensor:
        """F_ex of one exposure, (N, C, H / stride, W / stride)."""
        if self.config.input == "hdr":
            return self.exposure_features(self._unshuffle(exposure.radiance))
        second = exposure.compressed if self.config.input == "ldr+mu" else exposure.radiance
        if torch.compiler.is_compiling():  # whose layouts are not asked for
            return self.exposure_features(self._unshuffle(torch.cat([exposure.ldr, second], dim=1)))
        return self.exposure_features(self._unshuffle(exposure.ldr), self._unshuffle(second))

    def _unshuffle(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C * stride**2, H / stride, W / stride), under autocast in its type."""
        if self.config.stride == 1:
            return image
        if torch.compiler.is_compiling():
            return F.pixel_unshuffle(image, self.config.stride)
        image = as_convolved(image)  # half the bytes to move, which then need not be converted
        if not takes_strips(image):
            return F.pixel_unshuffle(image, self.config.stride).contiguous(memory_format=torch.channels_last)
        # As a pixel's channels lie next to each other, in less than half of the time.
        stride = self.config.stride
        n, c, height, width = image.shape
        out = image.new_empty((n, height // stride, width // stride, c, stride, stride))
        for row in range(stride):
            for column in range(stride):
                out[..., row, column] = image[:, :, row::stride, column::stride].permute(0, 2, 3, 1)
        return out.flatten(3).permute(0, 3, 1, 2)

    def _motion(self, exposure: int, features: Tensor, f_medium: Tensor) -> Tensor:
        """Logits of A_mt of the short or the long exposure, (N, C, H, W); ones where it is switched off.

        Ones are the attention itself, in eq. 4 as in eq. 9: the paper sets "all elements to 1".
        """
        if not self.config.motion_attention:
            return torch.ones_like(features)
        attention = self.motion_short if exposure == SHORT else self.motion_long
        return attention(features, f_medium)

    def _clue_gate(self, motion: Tensor, a_sat_short: Tensor) -> Tensor:
        """Eq. 9's weight of the short exposure's features, (N, C, H, W).

        Args:
            motion: of the short exposure, from :meth:`_motion`.
            a_sat_short: from :meth:`_saturation`.
        """
        if self.config.clue_gate == "paper":
            a_sat_short = torch.sigmoid(a_sat_short)
            motion = torch.sigmoid(motion) if self.config.motion_attention else motion
        return torch.sigmoid(motion + a_sat_short)

    @constant
    def _match(self, seen: Seen, times: Tensor, source: int) -> Match:
        """Match the medium exposure with ``source``, ``SHORT`` or ``LONG``."""
        config = self.config
        if config.match_features == "encoder":
            return self._match_around(self._encoded(seen, source), None, None)
        level = self._masked_at(times, source)
        pictures = [seen.exposures[k].radiance for k in (source, MEDIUM)]
        pictures = [averaged(picture, config.stride) for picture in pictures]
        if config.reach and torch.compiler.is_compiling():
            pyramids = self._pictured(pictures, level)
            first, first_back = search_coarsest(
                self._matching_features, config, pyramids, (pictures[0], pictures[1]), level,
                inner_side(self.longest, config),
            )  # fmt: skip
            match = self._match_around(pyramids, None, None, first, first_back)
        else:
            center, back = self._search_smaller(pictures, level)
            pyramids = self._pictured(pictures, level)
            match = self._match_around(pyramids, center, back)
        return self._with_flow(match, pyramids, pictures, level) if source == SHORT else match

    def _masked_at(self, times: Tensor, source: int) -> Tensor:
        """(N, 1, 1, 1) radiance at which two exposures saturate that are matched: the longer one's."""
        return saturation_level(times, max(source, MEDIUM), self.config.gamma, self.config.threshold)

    def _encoded(self, seen: Seen, source: int) -> Pyramids:
        """What the encoder makes of ``source`` and of the medium exposure."""
        clue = self._clue(seen) if source == SHORT else self._exposure_features(seen.exposures[LONG])
        return self.encoder(clue), self.encoder(seen.f_medium)

    def _pictured(self, pictures: list[Tensor], level: Tensor, full: bool = True) -> Pyramids:
        """Psi_l of source and medium radiance, (N, 3, H, W) each, masked as if saturated at ``level``.

        Without ``full``, those at full size may be empty.
        """
        source, medium = (self._matching_features(picture, level, full) for picture in pictures)
        return source, medium

    @constant
    def _match_around(
        self,
        pyramids: Pyramids,
        center: Tensor | None,
        back: Tensor | None,
        first: First | None = None,
        first_back: First | None = None,
    ) -> Match:
        """Match two pyramids, source and medium, from where :meth:`_search_smaller` says.

        Args:
            pyramids: of source and medium exposure.
            center, back: from :meth:`_search_smaller`.
            first, first_back: what the coarsest search finds, where it is known already.
        """
        config = self.config
        options: dict[str, Any] = {"patch_size": config.patch_size, "normalize": config.normalize}
        search: dict[str, Any] = {**options, "radii": config.radii, "propagate": config.propagate}
        match = progressive_match(*pyramids, center=center, first=first, levels=config.match_levels, **search)
        if config.subpixel:
            fraction = parabola(pyramids[0][0], pyramids[1][0], match.offsets[0], **options)
            match = match._replace(fraction=fraction.float())
        if config.consistency:
            distance = backward_distance(*pyramids, match, center=back, first=first_back, **search)
            match = match._replace(distance=distance)
        return match

    @constant
    def _with_flow(self, match: Match, pyramids: Pyramids, pictures: list[Tensor], level: Tensor) -> Match:
        """The match with the short exposure, its flow in its stead where ``config.flow`` asks for it.

        Args:
            match: from :meth:`_match_around`.
            pyramids: of short and medium exposure.
            pictures: their radiance, (N, 3, H, W) each; taken out of the list, so that its memory can go.
            level: at which both are masked.
        """
        if not self.config.flow:
            return match
        short = mu_law(pictures.pop(0))
        medium = to_display(ms_hdr(pictures.pop(), level), level, self._gamma())
        assert isinstance(self.match_features, MatchFeatures)
        options = {"patch_size": self.config.patch_size, "normalize": self.config.normalize}
        moved: Match = self.match_features.flow(*pyramids, match, short, medium, **options)
        return moved

    def _search_smaller(self, pictures: list[Tensor], level: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Offsets at quarter size from pictures that are halved until they are no longer than ``reach``.

        Args:
            pictures: source and medium radiance, (N, 3, H, W) each.
            level: at which both are masked.

        Returns:
            (N, 2, H / 4, W / 4) int32, where the search of these pictures begins, and where that of the way
            back from the source does; None where none are halved, and for the way back where
            ``config.consistency`` does not ask for it.
        """
        config = self.config
        height, width = pictures[0].shape[-2:]
        if not config.reach or max(height, width) <= config.reach:
            return None, None
        halves = [halved(picture) for picture in pictures]
        there, back = self._search_smaller(halves, level)
        found, returned = self._search_around(halves, level, there, back)
        rows, columns = -(-height // 4), -(-width // 4)
        return found[..., :rows, :columns], None if returned is None else returned[..., :rows, :columns]

    def _search_around(
        self, halves: list[Tensor], level: Tensor, there: Tensor | None, back: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """One step of :meth:`_search_smaller`, at the scales 1/2 and 1/4 of these pictures."""
        config = self.config
        source, medium = self._pictured(halves, level, full=False)

        def search(searched: list[Tensor], target: list[Tensor], center: Tensor | None) -> Tensor:
            match = progressive_match(
                searched, target, center=center, radii=config.radii, levels=(1, 2),
                patch_size=config.patch_size, normalize=config.normalize, propagate=config.propagate,
            )  # fmt: skip
            return match.offsets[1]

        return search(source, medium, there), search(medium, source, back) if config.consistency else None

    def _gamma(self) -> float:
        """``config.gamma``, which is never an input of a compiled graph: its branches take no floats."""
        return self.config.gamma

    # As torch.compiler.assume_constant_result does, which imports the compiler: that takes as long as torch.
    _gamma.__dict__["_dynamo_marked_constant"] = True

    def _matching_features(self, radiance: Tensor, level: Tensor, full: bool = True) -> list[Tensor]:
        """Psi_l of one exposure's radiance (N, 3, H, W), masked as if it saturated at ``level``."""
        return self.match_features(self._matched(radiance, level), full)

    def _matched(self, radiance: Tensor, level: Tensor) -> Tensor:
        """What is matched of one exposure's radiance, (N, 3, H, W)."""
        config = self.config
        if config.ms_hdr:
            radiance = ms_hdr(radiance, level)
        if config.vgg_input == "display":
            return to_display(radiance, level, self._gamma())
        return mu_law(radiance) if config.vgg_input == "mu-law" else radiance / level

    def save(self, path: str | Path, note: dict[str, str] | None = None) -> None:
        """Write weights and configuration as one file that :meth:`from_pretrained` reads.

        Args:
            path: a ``.safetensors`` file; an existing one is replaced in one step or left whole.
            note: further entries of its header.

        Raises:
            InputError: the network matches with VGG19 and has not got its weights yet.
        """
        features = getattr(self, "match_features", None)
        if isinstance(features, VGG19Features) and not features.loaded:
            raise InputError("network must have VGG19's weights before it is saved: call load_vgg19 first")
        checkpoint.write(Path(path), self.config, self.state_dict(), note)

    @classmethod
    def from_pretrained(cls, name: str | Path = "default", **options: Any) -> APNTFusion:
        """Load a trained network, in evaluation mode and in the layout that runs fastest, channels last.

        Args:
            name: ``"default"`` or ``"fast"`` (packaged with apnt, work offline), a ``.safetensors`` file, a
                folder that holds ``model.safetensors``, or the id of a repository on the Hugging Face Hub.
            options: ``huggingface_hub``'s (``revision``, ``token``, ``cache_dir``, ...), for an id.

        Raises:
            InputError: no such weights, not a safetensors file, or weights of another network.
        """
        path = checkpoint.find(name)
        if path is None:
            path = checkpoint.download(str(name), **options)
        config, state = checkpoint.read(path, partial(checkpoint.shapes_of, cls))
        network = cls(config)
        network.load_state_dict(state)
        # Convolutions on a CPU take two thirds of the time so.
        return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Write weights, configuration and a model card into a folder that :meth:`from_pretrained` reads.

        Args:
            save_directory: the folder; made if it is missing.
            options: of ``huggingface_hub.ModelHubMixin.save_pretrained``.
        """
        from apnt.nn.hub import on_hub

        return on_hub(self).save_pretrained(save_directory, **options)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload to the Hugging Face Hub.

        Args:
            repo_id: such as ``"owner/name"``.
            options: of ``huggingface_hub.ModelHubMixin.push_to_hub``.

        Returns:
            The address of the commit.
        """
        from apnt.nn.hub import on_hub

        return on_hub(self).push_to_hub(repo_id, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        self.save(Path(save_directory) / checkpoint.FILE)
