import json
import threading

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

import cnnkit
from cnnkit.data._class_names import VOC_CLASSES
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.errors import ResourceError, WeightsError
from cnnkit.images import Picture, encode_image, read_image, read_record
from cnnkit.server import answers
from cnnkit.server.http import build_app
from cnnkit.server.settings import ServerSettings

ASTRONAUT = encode_image(load_sample(find_sample("astronaut")), ".png")
COFFEE = encode_image(load_sample(find_sample("coffee")), ".png")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    gallery = tmp_path_factory.mktemp("people") / "people.db"
    app = build_app(ServerSettings(gallery=gallery, max_megapixels=2.0))
    with TestClient(app, base_url="http://localhost") as one:
        yield one


def test_objects_are_those_of_the_library(client):
    answer = client.post("/v1/detect", content=ASTRONAUT, params={"conf": 0.3})
    assert answer.status_code == 200
    record = answer.json()
    [found] = cnnkit.detect(load_sample(find_sample("astronaut")))
    assert record["schema"] == "cnnkit/1"
    assert (record["width"], record["height"], record["threshold"]) == (512, 512, 0.3)
    assert [(one["label"], one["score"]) for one in record["items"]] == [
        (one.label, round(one.score, 4)) for one in found.objects if one.score >= 0.3
    ]


def follows(client, path, record):
    described = client.get("/openapi.json").json()["paths"][path]["post"]["responses"]["200"]
    schema = described["content"]["application/json"]["schema"]
    Draft202012Validator(schema).validate(record)


@pytest.mark.parametrize("task", ["detect", "segment", "cutout", "classify", "caption", "embed"])
def test_answers_are_what_the_description_says(client, task):
    answer = client.post(f"/v1/{task}", content=ASTRONAUT, headers={"accept": "application/json"})
    assert answer.status_code == 200
    follows(client, f"/v1/{task}", answer.json())


def test_nothing_is_drawn_for_who_wants_no_picture(client, monkeypatch):
    def refuse(*_):
        raise AssertionError("it is drawn")

    monkeypatch.setattr("cnnkit.tasks.detect.results.Detection.plot", refuse)
    monkeypatch.setattr("cnnkit.tasks.segment.cutout.cut_out", refuse)
    assert client.post("/v1/detect", content=COFFEE).status_code == 200
    headers = {"accept": "application/json"}
    answer = client.post("/v1/cutout", content=ASTRONAUT, headers=headers)
    assert answer.json()["items"][0]["label"] == "person"


def test_fewer_objects_are_found_where_fewer_are_wanted(client):
    every = client.post("/v1/detect", content=ASTRONAUT, params={"conf": 0.05}).json()["items"]
    assert len(every) > 1
    one = client.post("/v1/detect", content=ASTRONAUT, params={"conf": 0.05, "max_det": 1})
    assert one.json()["items"] == every[:1]
    people = client.post(
        "/v1/detect", content=ASTRONAUT, params={"conf": 0.05, "classes": "person, dog"}
    )
    assert people.json()["items"] == [one for one in every if one["label"] == "person"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("image/png", "image/png"),
        ("image/jpeg;q=0.9, application/json;q=0.2", "image/jpeg"),
        ("text/html, image/*", "image/png"),
        ("text/html", "application/json"),
        ("image/png;q=much", "image/png"),
    ],
)
def test_what_is_answered_is_what_is_accepted(client, accept, kind):
    headers = {} if accept is None else {"accept": accept}
    answer = client.post("/v1/detect", content=COFFEE, headers=headers)
    assert answer.headers["content-type"] == kind
    if kind.startswith("image"):
        assert read_image(answer.content).pixels.shape == (400, 600, 3)


def test_a_cutout_is_a_picture_even_of_a_body_that_curl_calls_a_form(client):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = client.post("/v1/cutout", content=ASTRONAUT, headers=headers)
    assert answer.headers["content-type"] == "image/png"
    alpha = read_image(answer.content, keep_alpha=True).alpha
    assert alpha.min() == 0.0
    assert alpha.max() == 1.0
    # The sky at the top is gone, the suit is not.
    assert alpha[:40, 200:250].mean() < alpha[350:400, 150:200].mean()


def test_a_cutout_is_put_before_a_color(client):
    answer = client.post(
        "/v1/cutout", content=ASTRONAUT, params={"subject": "person", "background": "#00ff00"}
    )
    corner = read_image(answer.content).pixels[5, 250]
    np.testing.assert_allclose(corner, (0.0, 1.0, 0.0), atol=0.1)


def test_a_cutout_of_what_is_not_there_says_what_is(client):
    segments = client.post("/v1/segment", content=ASTRONAUT).json()["items"]
    labels = [one["label"] for one in segments]
    missing = next(name for name in VOC_CLASSES[1:] if name not in labels)
    answer = client.post("/v1/cutout", content=ASTRONAUT, params={"subject": missing})
    assert answer.status_code == 422
    assert f"no {missing} was found, only person" in answer.json()["error"]["message"]
    answer = client.post("/v1/cutout", content=ASTRONAUT, params={"subject": "unicorn"})
    assert answer.status_code == 400


def test_pictures_are_segmented_classified_and_captioned(client):
    [person, *_] = client.post("/v1/segment", content=ASTRONAUT).json()["items"]
    assert person["label"] == "person"
    classes = client.post("/v1/classify", content=COFFEE, params={"top": 2, "group": True}).json()
    assert classes["items"][0]["label"] == "espresso"
    assert classes["sure"]
    assert len(classes["items"]) == len(classes["groups"]) == 2
    said = client.post("/v1/caption", content=COFFEE, params={"candidates": 2}).json()
    assert "coffee" in said["items"][0]["sentence"]
    assert len(said["items"]) == 2


def test_two_pictures_of_one_person_are_told(client):
    answer = client.post("/v1/verify", files={"first": ASTRONAUT, "second": ASTRONAUT})
    assert answer.json()["same"] is True
    assert answer.json()["distance"] == 0.0
    picture = client.post(
        "/v1/verify",
        files={"first": ASTRONAUT, "second": ASTRONAUT},
        headers={"accept": "image/jpeg"},
    )
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")
    [face] = client.post("/v1/embed", content=ASTRONAUT).json()["items"]
    assert len(face["embedding"]) == 128


def test_people_are_remembered_recognised_and_forgotten(client):
    assert client.get("/v1/people").json() == {"items": []}
    [face] = client.post("/v1/identify", content=ASTRONAUT).json()["items"]
    assert face["name"] is None
    assert client.post("/v1/people/Eileen Collins", content=ASTRONAUT).status_code == 200
    assert client.get("/v1/people").json() == {"items": [{"name": "Eileen Collins", "faces": 1}]}
    [face] = client.post("/v1/identify", content=ASTRONAUT).json()["items"]
    assert face["name"] == "Eileen Collins"
    assert client.delete("/v1/people/Eileen Collins").json()["faces"] == 1
    assert client.delete("/v1/people/Eileen Collins").status_code == 404
    answer = client.post("/v1/people/unknown", content=ASTRONAUT)
    assert (answer.status_code, "called" in answer.json()["error"]["message"]) == (422, True)
    answer = client.post("/v1/people/nobody", content=COFFEE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "NoFaceError")


def test_a_gallery_that_is_none_is_the_servers_fault_and_its_place_no_answer(tmp_path):
    path = tmp_path / "people.db"
    path.write_bytes(b"no database" * 500)
    app = build_app(ServerSettings(gallery=path))
    with TestClient(app, base_url="http://localhost") as one:
        answer = one.get("/v1/people")
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text


def test_nobody_is_recognised_unless_it_was_turned_on():
    with TestClient(build_app(), base_url="http://localhost") as one:
        for answer in (one.post("/v1/identify", content=ASTRONAUT), one.get("/v1/people")):
            assert answer.status_code == 403
            assert "start the server with --gallery" in answer.json()["error"]["message"]


def test_a_draft_is_the_answer_and_carries_its_settings(client, tmp_path):
    answer = client.post("/v1/stylize", content=COFFEE, params={"size": 64, "style": "mosaic"})
    assert answer.headers["content-type"] == "image/png"
    assert read_image(answer.content).pixels.shape == (43, 64, 3)
    (tmp_path / "draft.png").write_bytes(answer.content)
    assert json.loads(read_record(tmp_path / "draft.png"))["quality"] == "draft"
    files = {"content": COFFEE, "style": ASTRONAUT}
    own = client.post("/v1/stylize", files=files, params={"size": 64})
    assert own.content != answer.content


def test_an_optimised_picture_is_a_job(client, monkeypatch):
    child = """
import pathlib, shutil
folder = pathlib.Path(sys.argv[1])
print('{"step": 1, "steps": 1, "seconds_left": 0}', flush=True)
shutil.copy(folder / "content.png", folder / "result.png")
"""
    painter = client.app.state.server.painter
    monkeypatch.setattr(painter, "_command", [*painter._command[:-1], f"import sys\n{child}"])
    begun = client.post("/v1/stylize", content=COFFEE, params={"quality": "standard"})
    assert begun.status_code == 202
    assert not begun.json()["error"]
    place = begun.headers["location"]
    with client.stream("GET", f"{place}/events") as events:
        told = [json.loads(line[6:]) for line in events.iter_lines() if line]
    assert told[-1]["status"] == "done"
    assert client.get(place).json() == told[-1]
    picture = client.get(f"{place}/picture")
    assert picture.headers["content-type"] == "image/png"
    assert client.delete(place).json()["status"] == "done"
    assert client.get("/v1/jobs/other").status_code == 404


@pytest.mark.parametrize(
    ("path", "content", "status", "message"),
    [
        ("/v1/detect", b"", 400, "no body: send the picture"),
        ("/v1/detect", b"no picture", 422, "is not a picture"),
        ("/v1/detect", COFFEE[:5000], 422, "the picture"),
        ("/v1/detect?conf=2", COFFEE, 400, "conf: Input should be less than or equal to 1"),
        ("/v1/detect?classes=unicorn", COFFEE, 400, "knows no 'unicorn'"),
        ("/v1/caption?candidates=99", COFFEE, 400, "candidates"),
        ("/v1/stylize?style=nothing", COFFEE, 400, "style must be one of"),
        ("/v1/stylize?quality=best", COFFEE, 400, "quality"),
        ("/v1/nothing", COFFEE, 404, "Not Found"),
    ],
)
def test_what_cannot_be_is_one_line(client, path, content, status, message):
    answer = client.post(path, content=content)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]
    assert "\n" not in answer.json()["error"]["message"]


def test_forms_that_lack_something_are_refused(client):
    answer = client.post("/v1/verify", files={"first": ASTRONAUT})
    assert "no file second" in answer.json()["error"]["message"]
    broken = client.post(
        "/v1/verify", content=b"--x\r\n", headers={"content-type": "multipart/form-data"}
    )
    assert broken.status_code == 400


def test_pictures_of_too_many_pixels_are_refused_by_their_header(client):
    large = encode_image(Picture(np.zeros((1500, 1500, 3), np.float32)), ".png")
    answer = client.post("/v1/detect", content=large)
    assert answer.status_code == 413
    assert "2 megapixels, and 2 are taken" in answer.json()["error"]["message"]


def test_more_requests_than_may_wait_are_sent_away_for_a_while(monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(models, picture, *rest):
        begun.set()
        assert go_on.wait(30)
        return answers.Answer(answers.Record("a"))

    monkeypatch.setattr(answers, "segment", slow)
    with TestClient(build_app(ServerSettings(queue=1)), base_url="http://localhost") as one:
        first = threading.Thread(target=one.post, args=("/v1/segment",), kwargs={"content": COFFEE})
        first.start()
        assert begun.wait(30)
        refused = one.post("/v1/segment", content=COFFEE)
        go_on.set()
        first.join()
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert one.post("/v1/segment", content=COFFEE).status_code == 200
        counted = one.get("/metrics").text
    assert 'cnnkit_requests_total{path="/v1/segment",status="429"} 1.0' in counted
    assert 'cnnkit_requests_total{path="/v1/segment",status="200"} 2.0' in counted


@pytest.mark.parametrize("error", [WeightsError("gone"), ResourceError("no room")])
def test_what_the_server_lacks_is_its_own_fault(client, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(answers, "segment", fail)
    assert client.post("/v1/segment", content=COFFEE).status_code == 503


def test_the_documentation_needs_nothing_from_elsewhere(client):
    page = client.get("/docs").text
    assert "swagger-ui-bundle.js" in page
    assert "http://" not in page
    assert "https://" not in page
    described = client.get("/openapi.json").json()
    assert set(described["paths"]["/v1/cutout"]["post"]["responses"]["200"]["content"]) == {
        "application/json",
        "image/png",
        "image/jpeg",
    }


def test_the_server_says_that_it_is_well(client):
    assert client.get("/healthz").json()["status"] == "ok"
