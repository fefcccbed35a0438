"""Videos: frames come back, and every kind of faulty file is named as what it is."""

import hashlib
import time
import tracemalloc

import av
import numpy as np
import pytest

from studykit.video import check_equal_length, probe, read_frames, read_selected, write_video


def moving_square(frames=20, width=96, height=64):
    """A bright square that moves 3 px a frame."""
    for n in range(frames):
        image = np.full((height, width, 3), 40, np.uint8)
        image[20:40, 3 * n + 5 : 3 * n + 20] = (230, 120, 60)
        yield image


@pytest.fixture
def video(tmp_path):
    write_video(moving_square(), tmp_path / "square.mp4", 25.0, quality=5)
    return tmp_path / "square.mp4"


def test_frames_come_back_in_order(video):
    info = probe(video)
    assert (info.width_px, info.height_px, info.fps, info.frames) == (96, 64, 25.0, 20)
    for got, wanted in zip(read_frames(video), moving_square(), strict=True):
        assert np.abs(got[25:35].astype(int) - wanted[25:35]).mean() < 6  # H.264 is lossy
    late = list(read_frames(video))[5:8]
    chosen = read_selected(video, [7, 5, 5])
    assert len(late) == 3
    for got, wanted in zip(chosen, (late[2], late[0], late[0]), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", ["rate.mkv", "rate.mp4"])
def test_fractional_rate_of_a_coarse_clock(tmp_path, name):
    # Matroska counts milliseconds, so steps of 1/29.97 s are stored as 33 and 34 ms.
    write_video(moving_square(), tmp_path / name, 30000 / 1001)
    assert probe(tmp_path / name).fps == pytest.approx(29.97, abs=0.01)


def test_same_frames_make_the_same_file(tmp_path):
    def digest(n):
        write_video(moving_square(), tmp_path / f"{n}.mp4", 25)
        return hashlib.md5((tmp_path / f"{n}.mp4").read_bytes()).hexdigest()

    # Containers like to note the second they were written in, and encoders may look at memory they never wrote.
    digests = {digest(n) for n in range(40)}
    time.sleep(1.1)
    assert len(digests | {digest(41)}) == 1


def test_missing_video(tmp_path):
    for use in (probe, lambda path: next(read_frames(path))):
        with pytest.raises(FileNotFoundError, match=r"none.mp4: expected a video file, got none"):
            use(tmp_path / "none.mp4")


def test_no_video_at_all(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("frames" * 100)
    for name, said in (("empty", "got an empty file"), ("text", "got one that cannot be opened")):
        with pytest.raises(ValueError, match=f"{name}.mp4: expected a video, {said}"):
            probe(tmp_path / f"{name}.mp4")


def write_packets(path, pts, options=None):
    """A video with time stamps of our own, or with none of its frames."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()  # the header is written even if no frame follows
        for n, image in zip(pts, moving_square(len(pts)), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_truncated_video(tmp_path, video):
    # Index in front, as cameras and streaming services write it: the file opens although its end is missing.
    write_packets(tmp_path / "whole.mp4", range(20), {"movflags": "faststart"})
    whole = (tmp_path / "whole.mp4").read_bytes()
    assert len(list(read_frames(tmp_path / "whole.mp4"))) == 20
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(ValueError, match=r"cut.mp4: expected (20 frames|whole frames)"):
        probe(cut)
    with pytest.raises(ValueError, match=r"cut.mp4: expected (20 frames|whole frames)"):
        list(read_frames(cut))
    # Index at the end, which is gone.
    cut.write_bytes(video.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"cut.mp4: expected a video, got one that cannot be opened; it may be trunc"):
        probe(cut)


def test_video_without_frames(tmp_path):
    write_packets(tmp_path / "none.mkv", [])
    for use in (probe, lambda path: list(read_frames(path))):
        with pytest.raises(ValueError, match=r"none.mkv: expected (at least one frame|a video)"):
            use(tmp_path / "none.mkv")


def test_variable_frame_rate(tmp_path):
    write_packets(tmp_path / "vfr.mp4", [0, 1, 2, 3, 5, 6, 9, 10])
    with pytest.raises(ValueError, match=r"vfr.mp4: expected a constant frame rate, got steps of 0.0400 to 0.1200 s"):
        probe(tmp_path / "vfr.mp4")


def test_views_of_different_length_or_rate(tmp_path, video):
    write_video(moving_square(19), tmp_path / "short.mp4", 25)
    write_video(moving_square(20), tmp_path / "fast.mp4", 30)
    check_equal_length({"C1": probe(video), "C3": probe(video)})
    with pytest.raises(ValueError, match=r"short.mp4: expected the same number of frames.*20 \(C1\) and 19 \(C3\)"):
        check_equal_length({"C1": probe(video), "C3": probe(tmp_path / "short.mp4")})
    with pytest.raises(ValueError, match=r"fast.mp4: expected the same frame rate"):
        check_equal_length({"C1": probe(video), "C3": probe(tmp_path / "fast.mp4")})


def test_reading_needs_memory_for_a_few_frames_only(tmp_path):
    write_video((np.full((480, 640, 3), n % 250, np.uint8) for n in range(80)), tmp_path / "long.mp4", 25)
    tracemalloc.start()
    for _ in read_frames(tmp_path / "long.mp4"):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 480 * 640 * 3


def test_failed_writing_leaves_nothing(tmp_path):
    def broken():
        yield from moving_square(5)
        yield np.zeros((8, 8, 3), np.uint8)

    with pytest.raises(ValueError, match=r"bad.mp4: expected all frames of one size"):
        write_video(broken(), tmp_path / "bad.mp4", 25)
    with pytest.raises(ValueError, match=r"bad.mp4: expected at least one frame"):
        write_video([], tmp_path / "bad.mp4", 25)
    assert list(tmp_path.iterdir()) == []
