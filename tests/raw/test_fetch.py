"""A file arrives whole and as expected, or not at all; what may pass is tried again, the rest is one sentence."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from scbench.errors import UserError
from scbench.raw import checked_file, read_sources
from scbench.raw.download import CHUNK, TRIES
from scbench.raw.fetch import LONG, address_of, fetch
from scbench.raw.lock import File, Source
from scripts import fetch_raw
from tests.raw.conftest import KNOWN, UNKNOWN
from tests.raw.server import Answer, Server

BIG, SMALL = "deep/known.bin", "unknown.json"


class Waits(list):
    """Stands in for time.sleep and keeps what was asked for."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def arrived(of: Source) -> list[str]:
    """What stands under a file's name, the record aside."""
    place = of.path("x").parent
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def test_a_file_arrives_and_is_not_asked_for_again(of: Source, server: Server):
    assert fetch(of, BIG, server.url).read_bytes() == KNOWN
    fetch(of, BIG, server.url)
    assert len(server.asked) == 1
    assert arrived(of) == [BIG, "fetched.json"]
    assert checked_file("made", BIG).read_bytes() == KNOWN


def test_a_directory_serves_the_same_files(of: Source, tmp_path: Path):
    origin = tmp_path / "mirror" / "made" / BIG
    origin.parent.mkdir(parents=True)
    origin.write_bytes(KNOWN)
    assert fetch(of, BIG, "mirror").read_bytes() == KNOWN
    assert json.loads(of.path("fetched.json").read_text())[BIG]["origin"] == f"mirror/made/{BIG}"


@pytest.mark.parametrize(
    "fault", [Answer(503), Answer(429), Answer(500), Answer(200, b"<html>busy</html>", {"Content-Type": "text/html"})]
)
def test_a_server_that_recovers_is_asked_again(of: Source, server: Server, waits: Waits, fault: Answer):
    server.faults = [fault, fault]
    assert fetch(of, BIG, server.url, wait=waits).read_bytes() == KNOWN
    assert waits == [1.0, 2.0]


def test_the_server_may_say_how_long_to_wait(of: Source, server: Server, waits: Waits):
    server.faults = [Answer(503, headers={"Retry-After": "7"}), Answer(503, headers={"Retry-After": "9999"})]
    fetch(of, BIG, server.url, wait=waits)
    assert waits == [7.0, 60.0]


def test_a_download_cut_short_goes_on_where_it_stopped(of: Source, server: Server, waits: Waits):
    server.faults = [Answer(cut=1_200_000), Answer(cut=500_000)]
    assert fetch(of, BIG, server.url, wait=waits).read_bytes() == KNOWN
    first, second, third = (int(asked.get("Range", "bytes=0-")[6:-1]) for asked in server.asked)
    assert first == 0
    assert 1_200_000 - CHUNK < second <= 1_200_000
    assert second + 500_000 - CHUNK < third <= second + 500_000


def test_what_an_earlier_run_left_is_used(of: Source, server: Server, waits: Waits):
    server.always = Answer(503)
    server.faults = [Answer(cut=1_000_000)]
    with pytest.raises(UserError, match="answers 503"):
        fetch(of, BIG, server.url, wait=waits)
    assert arrived(of) == []
    server.always = None
    assert fetch(of, BIG, server.url).read_bytes() == KNOWN
    assert server.asked[-1]["Range"] == f"bytes={1_000_000 // CHUNK * CHUNK}-"


def test_a_server_without_ranges_begins_anew(of: Source, server: Server, waits: Waits):
    server.faults = [Answer(cut=1_000_000), Answer(ranges=False)]
    assert fetch(of, BIG, server.url, wait=waits).read_bytes() == KNOWN


@pytest.mark.parametrize("etag", ['"v2"', 'W/"v1"', None])
def test_two_versions_are_never_mixed(of: Source, server: Server, waits: Waits, etag: str | None):
    """Nothing says which bytes are meant, so that only the server's word can say that it is the same file."""
    server.files["made/unknown.json"], server.etag = b"A" * 100, '"v1"' if etag == '"v2"' else etag
    server.always = Answer(503)
    server.faults = [Answer(cut=50)]
    with pytest.raises(UserError):
        fetch(of, SMALL, server.url, wait=waits)
    server.files["made/unknown.json"], server.etag, server.always = b"B" * 100, etag, None
    assert fetch(of, SMALL, server.url).read_bytes() == b"B" * 100


def test_a_part_longer_than_the_file_is_dropped(of: Source, server: Server, waits: Waits):
    of.partial(BIG).parent.mkdir(parents=True)
    of.partial(BIG).write_bytes(KNOWN + b"more")
    assert fetch(of, BIG, server.url, wait=waits).read_bytes() == KNOWN


def test_bytes_that_were_not_asked_for_are_not_put_together(of: Source, server: Server, waits: Waits):
    server.faults = [Answer(cut=1_000_000), Answer(206, KNOWN[5:], {"Content-Range": f"bytes 5-{len(KNOWN) - 1}/*"})]
    assert fetch(of, BIG, server.url, wait=waits).read_bytes() == KNOWN
    assert server.asked[-1].get("Range") is None


def test_a_damaged_part_costs_one_more_download(of: Source, server: Server):
    of.partial(BIG).parent.mkdir(parents=True)
    of.partial(BIG).write_bytes(b"x" * 1000)
    assert fetch(of, BIG, server.url).read_bytes() == KNOWN
    assert [asked.get("Range") for asked in server.asked] == ["bytes=1000-", None]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            Answer(503),
            rf"/made/deep/known\.bin: answers 503 Service Unavailable, {TRIES} times in a row; put the right",
        ),
        (
            Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html; charset=utf-8"}),
            r"known\.bin: answers with a web page instead of the file \(text/html\), 6 times in a row; put",
        ),
        (Answer(cut=0), r"known\.bin: was cut short after 0 bytes of 3,000,000, 6 times in a row; put"),
        (Answer(200, KNOWN[:-1] + b"?"), r"known\.bin: has sha256 \w{12}, but raw\.lock\.yaml says \w{12}, in 2 downl"),
        (Answer(200, KNOWN[:-1]), r"has 2,999,999 bytes, but raw\.lock\.yaml says 3,000,000, in 2 downloads; put"),
        (Answer(200, headers={"Content-Encoding": "gzip"}), r"sends the file in another form than asked for \(gzip\)"),
        (Answer(404), r"known\.bin: answers 404 Not Found; put the right file there, or set data\.mirror"),
        (Answer(403), r"known\.bin: answers 403 Forbidden; put"),
    ],
)
def test_what_does_not_pass_is_one_sentence_and_leaves_nothing(
    of: Source, server: Server, waits: Waits, fault: Answer, sentence: str
):
    server.always = fault
    with pytest.raises(UserError, match=sentence) as error:
        fetch(of, BIG, server.url, wait=waits)
    assert "\n" not in str(error.value)
    assert arrived(of) == []
    assert (len(server.asked) == 1) == (fault.status in (403, 404))


def test_no_server_at_all_is_one_sentence(of: Source, waits: Waits):
    with pytest.raises(
        UserError, match=r"^http://127\.0\.0\.1:1/made/unknown\.json: cannot be reached \(no connection\)"
    ):
        fetch(of, SMALL, "http://127.0.0.1:1", wait=waits)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize(
    ("mirror", "sentence"),
    [
        ("none", r"^data\.mirror: none is no directory; "),
        ("http://", r"^http:/made/deep/known\.bin: cannot be used \(.*\); put the right file there"),
        ("ftp://host", r"^data\.mirror: ftp://host is neither a directory nor an http\(s\) address"),
        (
            ".",
            r"^made/deep/known\.bin: cannot be read from the mirror \(No such file or directory\); put the right file",
        ),
    ],
)
def test_a_mirror_without_the_file_is_named(of: Source, mirror: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        fetch(of, BIG, mirror)
    assert arrived(of) == []


def test_a_mirror_with_other_bytes_is_refused(of: Source, tmp_path: Path):
    (tmp_path / "made" / "deep").mkdir(parents=True)
    (tmp_path / "made" / BIG).write_bytes(KNOWN[::-1])
    with pytest.raises(UserError, match=r"^made/deep/known\.bin: has sha256 \w{12}, but raw\.lock\.yaml says"):
        fetch(of, BIG, ".")
    assert arrived(of) == []


def test_the_first_arrival_is_trusted_visibly(of: Source, server: Server, capsys: pytest.CaptureFixture[str]):
    fetch(of, SMALL, server.url)
    sha256 = hashlib.sha256(UNKNOWN).hexdigest()
    entry = json.loads(of.path("fetched.json").read_text())[SMALL]
    assert (entry["sha256"], entry["bytes"]) == (sha256, len(UNKNOWN))
    assert (
        f"sha256 {sha256}, trusted as it arrived first, recorded in results/raw/made/fetched.json"
        in capsys.readouterr().err
    )
    [_, known, unknown] = fetch_raw.listing([of])
    assert known.endswith(f"3,000,000 bytes  sha256 {hashlib.sha256(KNOWN).hexdigest()} by raw.lock.yaml; not fetched")
    assert (
        f"12 bytes  sha256 {sha256} by results/raw/made/fetched.json; fetched {entry['day']} from {server.url}"
        in unknown
    )


def test_another_arrival_is_refused(of: Source, server: Server):
    fetch(of, SMALL, server.url).unlink()
    server.files["made/unknown.json"] = b'{"rows": {}}'
    sentence = (
        r"has sha256 \w{12}, but results/raw/made/fetched\.json says \w{12}, in 2 downloads; .*"
        r"; if the new bytes are meant, take their entry out of results/raw/made/fetched\.json$"
    )
    with pytest.raises(UserError, match=sentence):
        fetch(of, SMALL, server.url)
    assert arrived(of) == ["fetched.json"]


def test_a_length_that_nobody_knows_is_refused(of: Source, server: Server):
    server.always = Answer(headers={"Content-Length": None, "Connection": "close"}, cut=5)
    with pytest.raises(UserError, match=r"unknown\.json: does not say how long the file is"):
        fetch(of, SMALL, server.url)


def test_the_size_of_the_lock_binds_a_file_without_sha256(of: Source, server: Server):
    sized = dataclasses.replace(of, files={SMALL: File(None, 11)})
    with pytest.raises(UserError, match=r"has 12 bytes, but raw\.lock\.yaml says 11"):
        fetch(sized, SMALL, server.url)


@pytest.mark.parametrize("damage", ["missing", "changed", "unrecorded"])
def test_a_file_is_checked_at_each_use(of: Source, server: Server, damage: str):
    path = fetch(of, SMALL, server.url)
    if damage == "missing":
        path.unlink()
    elif damage == "changed":
        path.write_bytes(UNKNOWN.replace(b"r", b"R"))
    else:
        of.path("fetched.json").unlink()
    remedy = r"run the workflow again, or python -m scripts\.fetch_raw --source made --file unknown\.json$"
    said = {"missing": "missing; ", "changed": "has sha256 .*; delete it and ", "unrecorded": "nothing says .*; delete"}
    with pytest.raises(UserError, match=rf"^results/raw/made/unknown\.json: {said[damage]}.*{remedy}"):
        checked_file("made", SMALL)


def test_a_damaged_record_is_named(of: Source, server: Server):
    fetch(of, SMALL, server.url)
    of.path("fetched.json").write_text('{"unknown.json": 3}')
    with pytest.raises(UserError, match=r"^results/raw/made/fetched\.json: not the record"):
        checked_file("made", SMALL)


def test_a_full_disk_is_one_sentence(of: Source, server: Server, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "results/raw/.partial/made/deep/known.bin")

    monkeypatch.setattr("scbench.raw.fetch.digest_file", full)
    with pytest.raises(UserError, match=r"known\.bin: cannot be written \(No space left on device\)"):
        fetch(of, BIG, server.url)
    assert arrived(of) == []


def test_a_long_download_says_how_far_it_is(of: Source, server: Server, capsys: pytest.CaptureFixture[str]):
    server.files["made/unknown.json"] = bytes(LONG)
    fetch(of, SMALL, server.url)
    said = capsys.readouterr().err
    assert "made/unknown.json (MB): 0/20 done" in said
    assert "made/unknown.json (MB): 20/20 done" in said


def test_a_token_of_the_hub_stays_with_the_hub(of: Source, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(of, SMALL, server.url)
    assert "Authorization" not in server.asked[0]


def test_public_addresses_name_the_commit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
    sources = read_sources()
    hub = address_of(sources["scbench"], "scbench_kv/test-00000-of-00001.parquet", None)
    plain = address_of(sources["bbh"], "date_understanding.json", None)
    assert (hub.url, hub.headers) == (
        "https://huggingface.co/datasets/microsoft/SCBench/resolve/283310bb8c5ba6909dd9a6b1be087d2937f76f6d/"
        "scbench_kv/test-00000-of-00001.parquet",
        {"Authorization": "Bearer hf_secret"},
    )
    assert (plain.url, plain.headers) == (
        "https://raw.githubusercontent.com/suzgunmirac/BIG-Bench-Hard/9ee07bd481feebf959a6b59d61ea57bdcf30964d/bbh/"
        "date_understanding.json",
        {},
    )


def test_an_offline_hub_is_one_sentence(of: Source, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids"):
        fetch(dataclasses.replace(of, url="hf://me/made"), SMALL)
