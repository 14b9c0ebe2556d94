"""The service on a free loopback port: answers, common batches, limits, metrics, and its page."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mlemo.cli import main
from mlemo.inference import Classified, Classifier
from mlemo.thresholds import FixedThreshold

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from mlemo.serving.app import application  # noqa: E402  # needs the extra
from mlemo.serving.batching import Batcher, Overloaded  # noqa: E402
from mlemo.serving.limits import Limits  # noqa: E402

TEXTS = [
    "we had such a good day",
    "anger",
    "",
    "fear of the sea " * 20,
    "غضب 怒",
    "half of a pair \ud83d",
    "NUL \0 \x1b[31m",
]


@contextmanager
def serving(classifier: Any, limits: Limits | None = None, wait: float = 0.005) -> Iterator[str]:
    """Address of a service that runs in a thread."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(application(classifier, limits, wait), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def ask(address: str, body: Any = None, path: str = "/classify") -> tuple[int, Any, Any]:
    """Status, headers and content of an answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address + path, data), timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        content = answer.read()
        kind = answer.headers["content-type"]
        return answer.status, answer.headers, json.loads(content) if "json" in kind else content.decode()


@pytest.fixture
def tiny(classifier: Callable[..., Any]) -> Classifier:
    return Classifier(classifier(), FixedThreshold(0.5))


class Slow:
    """A classifier that counts its calls, and takes some time."""

    batch_size = 64
    labels = ("joy",)

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.sizes = seconds, list[int]()

    def __call__(self, texts: list[str]) -> list[Classified]:
        self.sizes.append(len(texts))
        time.sleep(self.seconds)
        if "break" in texts:
            raise RuntimeError("the model broke")
        return [Classified(text, ["joy"], {"joy": len(text) / 1e6}) for text in texts]


def test_64_clients_at_once_get_their_own_answers(tiny: Classifier) -> None:
    asked = [[f"{TEXTS[client % 4]} {client}", *TEXTS[: client % 8]] for client in range(64)]
    expected = [tiny(texts) for texts in asked]
    with serving(tiny) as address, ThreadPoolExecutor(64) as clients:
        answers = list(clients.map(lambda texts: ask(address, {"texts": texts}), asked))
        metrics = ask(address, path="/metrics")[2]
    for results, (status, _, content) in zip(expected, answers, strict=True):
        assert status == 200
        assert [one["labels"] for one in content["results"]] == [one.labels for one in results]
        for one, result in zip(content["results"], results, strict=True):
            assert one["probabilities"] == pytest.approx(result.probabilities, abs=1e-5)
    assert 'mlemo_requests_total{status="200"} 64.0' in metrics
    assert f"mlemo_texts_total {sum(map(len, asked))}.0" in metrics
    assert "mlemo_waiting_texts 0.0" in metrics


def test_requests_that_arrive_together_share_batches() -> None:
    slow = Slow(0.05)
    with serving(slow) as address, ThreadPoolExecutor(64) as clients:
        texts = ["x" * length for length in range(1, 65)]
        answers = list(clients.map(lambda text: ask(address, {"texts": [text]})[2], texts))
    found = [answer["results"][0]["probabilities"]["joy"] for answer in answers]
    assert found == [length / 1e6 for length in range(1, 65)]
    assert sum(slow.sizes) == 64
    assert len(slow.sizes) < 32
    assert max(slow.sizes) <= 64


def test_an_exported_folder_is_served_by_the_command(
    classifier: Callable[..., Any], trainer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlemo
    from mlemo.serving import server

    run = trainer()
    run.strategy.connect(classifier())
    run.save_checkpoint(tmp_path / "run" / "last.ckpt")
    folder = main(["export", str(tmp_path / "run"), "--output", str(tmp_path / "exported")])
    expected = mlemo.load(folder)(TEXTS)
    addresses: list[Any] = []

    class Answering(uvicorn.Server):
        def run(self, sockets: Any = None) -> None:  # type: ignore[override]
            addresses.append(sockets[0].getsockname())
            thread = threading.Thread(target=super().run, kwargs={"sockets": sockets})
            thread.start()
            try:
                addresses.append(ask(f"http://127.0.0.1:{addresses[0][1]}", {"texts": TEXTS}))
            finally:
                self.should_exit = True
                thread.join()

    monkeypatch.setattr(server.uvicorn, "Server", Answering)
    main(["serve", str(folder), "--port", "0", "--wait", "0"])
    assert addresses[0][0] == "127.0.0.1"
    status, _, content = addresses[1]
    assert status == 200
    assert [one["labels"] for one in content["results"]] == [one.labels for one in expected]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["nowhere", "--port", "70000"], "expected 0 to 65535, found 70000"),
        (["nowhere", "--wait", "-1"], "expected 0 to 60000, found -1"),
        (["nowhere", "--max-texts", "0"], "expected 1 or more, found 0"),
        (["nowhere", "--max-waiting", "8"], "a request may have 64 texts, and only 8 may wait"),
    ],
)
def test_wrong_arguments_end_with_a_message(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["serve", *words])
    assert error.value.code == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_port_that_is_taken_ends_with_a_message(
    tiny: Classifier, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlemo.inference.load", lambda *_: tiny)
    with serving(tiny) as address, pytest.raises(SystemExit):
        main(["serve", "model", "--port", address.rpartition(":")[2]])
    assert "in use" in capsys.readouterr().err


# limits -----------------------------------------------------------------------------------------------------------

LIMITS = Limits(texts=3, characters=20, body=500, waiting=4)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"texts": ["a"] * 4}, 422, "expected 1 to 3 texts, found 4"),
        ({"texts": []}, 422, "expected 1 to 3 texts, found 0"),
        ({"texts": ["a", "b" * 21]}, 422, "texts have at most 20 characters, found 21 in texts[1]"),
        ({"texts": "a"}, 422, 'expected {"texts": ["…", …]}, a list of strings'),
        ({"texts": ["a", 3]}, 422, "a list of strings"),
        (["a"], 422, "a list of strings"),
        (b"{", 422, "the body must be JSON in UTF-8"),
        (b'{"texts": ["\xff"]}', 422, "the body must be JSON in UTF-8"),
        (b"", 422, "the body must be JSON in UTF-8"),
        ({"texts": ["a" * 500]}, 413, "more than 500 bytes"),
        (b"[" * 400, 422, "the body must be JSON"),
    ],
)
def test_requests_beyond_the_limits_are_refused(body: Any, status: int, message: str) -> None:
    slow = Slow()
    with serving(slow, LIMITS) as address:
        found, _, content = ask(address, body)
        assert (found, message in content["error"]) == (status, True), content
        assert ask(address, {"texts": ["a", "b", "c" * 20]})[0] == 200
        assert f'mlemo_requests_total{{status="{status}"}} 1.0' in ask(address, path="/metrics")[2]
    assert slow.sizes == [3]


def test_a_body_without_a_length_is_cut_off(tiny: Classifier) -> None:
    import http.client

    with serving(tiny, LIMITS) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
        connection.request("POST", "/classify", (b"x" * 100 for _ in range(6)), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})  # fmt: skip
        assert connection.getresponse().status == 413
        connection.close()


def test_an_overload_is_answered_and_passes() -> None:
    slow = Slow(0.3)
    with serving(slow, LIMITS, wait=0) as address, ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: ask(address, {"texts": ["a", "b"]}), range(8)))
        statuses = sorted(status for status, _, _ in answers)
        assert statuses == [200] * 2 + [503] * 6
        refused = next(answer for answer in answers if answer[0] == 503)
        assert refused[1]["retry-after"] == "1"
        assert "too many texts are waiting" in refused[2]["error"]
        assert ask(address, {"texts": ["a", "b"]})[0] == 200


def test_a_failure_of_the_model_is_an_answer_and_the_service_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Slow()) as address:
        status, _, content = ask(address, {"texts": ["break"]})
        assert status == 500
        assert content == {"error": "the model failed; the log of the service says why"}
        assert ask(address, {"texts": ["fine"]})[0] == 200
    assert "the model broke" in caplog.text


# batching ---------------------------------------------------------------------------------------------------------


def test_batches_take_whole_requests_up_to_their_size() -> None:
    slow = Slow()

    async def run() -> list[list[Classified]]:
        batcher = Batcher(slow, size=4, wait=0.01, most=100, observe=lambda _: None)
        task = asyncio.create_task(batcher.run())
        results = await asyncio.gather(*(batcher(["x" * size] * size) for size in (3, 3, 1, 2)))
        task.cancel()
        assert batcher.waiting == 0
        return results

    results = asyncio.run(run())
    assert [[one.text for one in result] for result in results] == [["x" * size] * size for size in (3, 3, 1, 2)]
    assert slow.sizes == [6, 3]


def test_a_request_that_is_given_up_makes_room() -> None:
    async def run() -> None:
        batcher = Batcher(Slow(), size=4, wait=0.01, most=2, observe=lambda _: None)
        request = asyncio.create_task(batcher(["a", "b"]))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher(["c"])
        request.cancel()
        await asyncio.sleep(0)
        task = asyncio.create_task(batcher.run())
        assert [one.text for one in await batcher(["c"])] == ["c"]
        task.cancel()

    asyncio.run(run())


# pages ------------------------------------------------------------------------------------------------------------


def test_health_and_description(tiny: Classifier) -> None:
    with serving(tiny, LIMITS) as address:
        assert ask(address, path="/health")[2] == {"status": "ok", "labels": list(tiny.labels)}
        status, _, content = ask(address, path="/openapi.json")
        assert ask(address, path="/classify")[0] == 405
    assert status == 200
    schema = content["paths"]["/classify"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["texts"]["maxItems"] == 3
    assert schema["properties"]["texts"]["items"]["maxLength"] == 20
    assert set(content["paths"]) == {"/classify", "/health", "/metrics"}
    assert set(content["paths"]["/classify"]["post"]["responses"]) == {"200", "413", "422", "500", "503"}
    import jsonschema

    jsonschema.validators.Draft202012Validator.check_schema(schema)


class Page(HTMLParser):
    """Attributes of a page that load something."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]


def test_the_page_loads_nothing_from_elsewhere(tiny: Classifier) -> None:
    with serving(tiny) as address:
        status, headers, content = ask(address, path="/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    page = Page()
    page.feed(content)
    assert set(page.loaded) == {"data:,", "openapi.json", "health", "metrics"}
    assert not re.search(r"https?://|@import|url\(", content)
    assert 'name="viewport"' in content
    assert "color-scheme: light dark" in content
    assert "innerHTML" not in content  # texts and labels are shown as text
