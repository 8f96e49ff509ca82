"""Class names from the files that people keep them in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgevit.core.errors import InputError
from edgevit.formats.labels import read_labels, read_named

CAT_DOG_FOX = ("cat", "dog", "fox")


def test_reads_one_name_a_line_in_utf8(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("\ufeffcat\r\nÄffchen \r\n\r\n".encode())
    assert read_labels(tmp_path / "l.txt") == ("cat", "Äffchen")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a\n\nb\n", b"\xff\xfe\x00"])
def test_what_would_shift_classes_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"l\.txt"):
        read_labels(tmp_path / "l.txt")


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_labels(tmp_path / "none.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_a_byte_order_mark_names_is_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("고양이\r\nÄpfel\r\n".encode(encoding))
    assert read_labels(tmp_path / "l.txt") == ("고양이", "Äpfel")


@pytest.mark.parametrize("encoding", ["cp949", "latin-1", "utf-16-le"])
def test_another_encoding_is_refused_with_the_way_to_convert_it(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(
        "Äpfel 고양이"[: 5 if encoding == "latin-1" else None].encode(encoding, "ignore")
    )
    with pytest.raises(InputError, match=r"l\.txt (is not UTF-8|has zero bytes)") as caught:
        read_labels(tmp_path / "l.txt")
    assert "UTF-8" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("id2label.json", '{"0": "cat", "1": "dog", "2": "fox"}'),
        ("shuffled.json", '{"2": "fox", "0": "cat", "1": "dog"}'),
        ("class_indices.json", '{"fox": 2, "cat": 0, "dog": 1}'),
        ("text_ids.json", '{"cat": "0", "dog": "1", "fox": "2"}'),
        ("list.json", '["cat", "dog", "fox"]'),
        ("pairs.json", '[["dog", 1], ["cat", 0], ["fox", 2]]'),
        ("keras.json", '{"0": ["n02123045", "cat"], "1": ["n02084071", "dog"], "2": ["n02119789", "fox"]}'),
        ("coco.json", '{"categories": [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}, {"id": 3, "name": "fox"}]}'),
        ("config.json", '{"id2label": {"0": "cat", "1": "dog", "2": "fox"}, "label2id": {"cat": 0}}'),
        ("timm.json", '{"num_classes": 3, "label_names": ["cat", "dog", "fox"]}'),
        ("ultralytics.yaml", "path: ../x\nnc: 3\nnames:\n  0: cat\n  1: dog\n  2: fox\n"),
        ("list.yml", "names: [cat, dog, fox]\n"),
        ("python_dict.txt", "{0: 'cat',\n 1: 'dog',\n 2: 'fox'}"),
        ("python_list.txt", "['cat', 'dog', 'fox']\n"),
        ("json_in.txt", '{"cat": 0, "dog": 1, "fox": 2}'),
        ("teachable.txt", "0 cat\n1 dog\n2 fox\n"),
        ("colon.txt", "0: cat\n1: dog\n2: fox\n"),
        ("from_one.txt", "1. cat\n2. dog\n3. fox\n"),
        ("shuffled.txt", "2\tfox\n0\tcat\n1\tdog\n"),
        ("number_last.txt", "cat 0\ndog 1\nfox 2\n"),
        ("number_last_comma.txt", "fox, 2\ncat, 0\n\ndog, 1\n"),
        ("headings.csv", "id,name\n0,cat\n1,dog\n2,fox\n"),
        ("no_headings.csv", "0,cat\n1,dog\n2,fox\n"),
        ("number_last.csv", "fox;2\ncat;0\ndog;1\n"),
        ("pandas.csv", ",label,name,colour\n0,1,dog,red\n1,0,cat,red\n2,2,fox,red\n"),
        ("one_column.csv", "name\ncat\ndog\nfox\n"),
        ("synsets.csv", "wnid,words\nn02123045,cat\nn02084071,dog\nn02119789,fox\n"),
        ("headings.tsv", "index\tclass\n0\tcat\n1\tdog\n2\tfox\n"),
    ],
)  # fmt: skip
def test_every_usual_form_is_read_as_it_is_meant(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert read_labels(tmp_path / name) == CAT_DOG_FOX
    assert read_named(tmp_path / name).first == (name in ("from_one.txt", "coco.json"))


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("digits.txt", "0\n1\n2\n", ("0", "1", "2")),
        ("coins.txt", "1 euro\n2 euro\n3 euro\n", ("1 euro", "2 euro", "3 euro")),
        ("years.txt", "Audi 2012\nBMW 2010\n", ("Audi 2012", "BMW 2010")),
        ("classes.txt", "class 0\nclass 1\nclass 2\n", ("class 0", "class 1", "class 2")),
        ("drinks.txt", "7 up\n4 roses\n50 cent\n", ("7 up", "4 roses", "50 cent")),
        ("synonyms.txt", "tench, Tinca tinca\ngoldfish\n", ("tench, Tinca tinca", "goldfish")),
        ("synonyms.csv", 'id,name\n0,"tench, Tinca tinca"\n1,goldfish\n', ("tench, Tinca tinca", "goldfish")),
        ("twice.txt", "0 crane\n1 heron\n2 crane\n", ("crane", "heron", "crane")),
        ("digits.json", '{"0": 0, "1": 1}', ("0", "1")),
        ("answers.yaml", "names: {0: no, 1: yes}\n", ("no", "yes")),
        ("quoted.txt", "{0: \"crow's nest\", 1: 'on'}", ("crow's nest", "on")),
    ],
)
def test_numbers_and_commas_that_belong_to_names_stay(
    name: str, text: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    assert read_labels(tmp_path / name) == names


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("swapped.json", '{"0": "1", "1": "2", "2": "0"}', "two ways"),
        ("swapped.txt", "0 1\n1 2\n2 0\n", "two ways"),
        ("gap.json", '{"0": "cat", "2": "dog"}', "not each once from 0 to 1"),
        ("gap.txt", "0 red\n1 green\n3 blue\n4 grey\n", "not each once from 0 to 3"),
        ("gap_behind.txt", "red 1\ngreen 2\nblue 4\n", "not each once from 0 to 2"),
        ("twice.json", '{"cat": 0, "dog": 0}', "not each once"),
        ("settings.json", '{"a": "b", "c": "d"}', "no numbers"),
        ("nested.json", '{"0": null, "1": "dog"}', "a class name should be"),
        ("number.json", "3", "holds a number"),
        ("empty.json", "[]", "is empty"),
        ("broken.json", '{"0": "cat"', "not JSON"),
        ("broken.yaml", "names: [cat", "not YAML"),
        ("deep.json", "[" * 100_000, "nested"),
        ("deep.yaml", "[" * 500, "nested|not YAML"),
        ("columns.csv", "cat,feline\ndog,canine\n", "is not clear"),
        ("uneven.csv", "0,cat\n1;dog,x,y\n2;\tfox,z\n", "different numbers of columns|is not clear|two ways"),
        ("numbers.csv", "0,1\n1,0\n", "is not clear|two ways"),
    ],
)
def test_what_could_mean_two_things_or_nothing_is_refused(
    name: str, text: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_labels(tmp_path / name)
    assert name in caught.value.message


def test_a_thousand_numbered_names_of_which_two_are_alike(tmp_path: Path) -> None:
    """As ImageNet's, where two birds and machines are called crane; in any order, as Keras and others write them."""
    wanted = [f"name {'abcdefghij'[i % 10]}{i}" for i in range(998)] + ["crane", "crane"]
    entries = {str(i): [f"n{i:08d}", wanted[i]] for i in reversed(range(1000))}
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps(entries))
    (tmp_path / "numbered.txt").write_text("".join(f"{i}: {name}\n" for i, name in enumerate(wanted)))
    (tmp_path / "clsidx_to_labels.txt").write_text(str(dict(enumerate(wanted))))
    for path in tmp_path.iterdir():
        assert read_labels(path) == tuple(wanted), path.name
