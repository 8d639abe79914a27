"""Packages: read from the graph, the same bytes each time, whole on disk."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bucle.ground.core import BadName, digest_of
from bucle.ground.project import Project
from bucle.ground.store import BlobCorrupt
from bucle.line import registry
from bucle.line.registry import Field, Signature


def _one(node: object, *, first: object = "N", domain: str = "", kind: int = TensorProto.FLOAT) -> bytes:
    value = [helper.make_tensor_value_info(name, kind, [first, 2]) for name in "xy"]
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    graph = helper.make_graph([node], "one", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def test_the_signature_is_read_from_the_graph(package: registry.Package) -> None:
    assert package.signature == Signature(
        inputs=(
            Field(name="carrier", type="string", dtype="str", shape=(1,)),
            Field(name="temp", type="float", dtype="float32", shape=(1,)),
            Field(name="seats", type="int", dtype="int64", shape=(1,)),
        ),
        outputs=(Field(name="probability", type="float", dtype="float32"),),
    )
    assert package.request == package.signature


def test_an_input_is_nullable_when_the_model_answers_without_it(project: Project) -> None:
    tree = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=2,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[1, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[0.1, 0.9],
    )
    package = registry.pack(project, _one(tree, domain="ai.onnx.ml"))
    assert package.signature.inputs[0].nullable
    assert package.signature.inputs[0].shape == (2,)


def test_equal_arguments_give_an_equal_package(project: Project, model_onnx: Callable[[float], bytes]) -> None:
    first = registry.pack(project, model_onnx(1.0), files={"profile.json": b"{}"}, entity="carrier")
    again = registry.pack(project, model_onnx(1.0), files={"profile.json": b"{}"}, entity="carrier")
    other = registry.pack(project, model_onnx(2.0), files={"profile.json": b"{}"}, entity="carrier")
    assert first == again == registry.load_package(project, first.digest)
    assert other.digest != first.digest
    assert project.blobs.get(first.files["profile.json"]) == b"{}"


def test_a_request_may_have_columns_the_model_never_sees(
    project: Project, model_onnx: Callable[[float], bytes]
) -> None:
    request = Signature(
        inputs=(
            Field(name="flight", type="int"),
            Field(name="at", type="string"),
            Field(name="carrier", type="string"),
            Field(name="temp", type="float", nullable=True),
            Field(name="seats", type="int"),
        )
    )
    package = registry.pack(project, model_onnx(1.0), request=request, instant="at", entity="flight")
    assert package.request.input("temp") == Field(name="temp", type="float", nullable=True, dtype="float32", shape=(1,))
    assert package.request.input("flight") == Field(name="flight", type="int")
    assert package.request.outputs == package.signature.outputs


def test_features_may_bring_what_the_request_lacks(project: Project, model_onnx: Callable[[float], bytes]) -> None:
    request = Signature(inputs=(Field(name="carrier", type="string"),))
    package = registry.pack(project, model_onnx(1.0), request=request, features=["weather@4f1c"])
    assert package.features == ("weather@4f1c",)


@pytest.mark.parametrize(
    "case",
    [
        ([("carrier", "string"), ("temp", "float")], "", "", "seats"),
        ([("carrier", "float"), ("temp", "float"), ("seats", "int")], "", "", "carrier"),
        ([("carrier", "string"), ("temp", "float"), ("seats", "int"), ("temp", "float")], "", "", "temp"),
        ([("carrier", "string"), ("temp", "float"), ("seats", "int")], "when", "", "when"),
        ([("carrier", "string"), ("temp", "float"), ("seats", "int")], "temp", "", "temp"),
        ([("carrier", "string"), ("temp", "float"), ("seats", "int")], "", "carier", "carier"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_by_column(
    project: Project,
    model_onnx: Callable[[float], bytes],
    case: tuple[list[tuple[str, registry.FieldType]], str, str, str],
) -> None:
    fields, instant, entity, at = case
    request = Signature(inputs=tuple(Field(name=name, type=kind) for name, kind in fields))
    with pytest.raises(registry.BadRequest) as caught:
        registry.pack(project, model_onnx(1.0), request=request, instant=instant, entity=entity)
    assert caught.value.at == at
    assert caught.value.fix


@given(content=st.binary(max_size=300))
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    from bucle.line.registry.graph import read_signature

    with pytest.raises(registry.BadOnnx):
        read_signature(content)


def test_operators_outside_the_standard_are_refused(project: Project) -> None:
    with pytest.raises(registry.BadOnnx, match=r"com\.acme::Magic"):
        registry.pack(project, _one(helper.make_node("Magic", ["x"], ["y"], domain="com.acme"), domain="com.acme"))
    with pytest.raises(registry.BadOnnx, match=r"com\.microsoft::Gelu"):
        registry.pack(
            project, _one(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"), domain="com.microsoft")
        )


def test_an_operator_hidden_in_a_branch_is_found(project: Project) -> None:
    inner = helper.make_graph(
        [helper.make_node("Magic", ["x"], ["z"], domain="com.acme")],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 2])],
    )
    same = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])],
        "same",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 2])],
    )
    branch = helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=same)
    constant = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    model = onnx.load_from_string(_one(branch, domain="com.acme"))
    model.graph.node.insert(0, constant)
    with pytest.raises(registry.BadOnnx, match="Magic"):
        registry.pack(project, model.SerializeToString())


def test_weights_in_another_file_are_refused(project: Project, model_onnx: Callable[[float], bytes]) -> None:
    model = onnx.load_from_string(model_onnx(1.0))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    with pytest.raises(registry.BadOnnx, match="other files"):
        registry.pack(project, model.SerializeToString())


def test_a_fixed_number_of_rows_and_a_map_are_refused(project: Project) -> None:
    with pytest.raises(registry.BadOnnx, match="8 rows only"):
        registry.pack(project, _one(helper.make_node("Relu", ["x"], ["y"]), first=8))
    zipmap = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    graph = helper.make_graph(
        [zipmap],
        "zip",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_value_info("y", maps)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    with pytest.raises(registry.BadOnnx, match="not a tensor"):
        registry.pack(project, content)


def test_a_pickle_does_not_travel(project: Project, model_onnx: Callable[[float], bytes]) -> None:
    for protocol in range(2, 6):
        with pytest.raises(registry.BadPackageFile, match="pickle"):
            registry.pack(project, model_onnx(1.0), files={"extra": pickle.dumps({"a": 1}, protocol=protocol)})
    with pytest.raises(registry.BadPackageFile):
        registry.pack(project, model_onnx(1.0), files={"model.onnx": b""})
    with pytest.raises(BadName):
        registry.pack(project, model_onnx(1.0), files={"../evil": b""})


def test_a_view_must_be_pinned(project: Project, model_onnx: Callable[[float], bytes]) -> None:
    with pytest.raises(registry.BadFeature, match="not pinned"):
        registry.pack(project, model_onnx(1.0), features=["weather"])


def test_a_staged_package_answers_without_a_project(
    project: Project, package: registry.Package, tmp_path: Path
) -> None:
    folder = registry.stage_package(project, package.digest, tmp_path / "packages")
    project.close()
    assert registry.read_package(folder) == package
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", "model.onnx"]
    assert digest_of((folder / "manifest.json").read_bytes()) == package.digest


def test_staging_again_mends_a_damaged_copy(project: Project, package: registry.Package, tmp_path: Path) -> None:
    folder = registry.stage_package(project, package.digest, tmp_path)
    content = bytearray((folder / "model.onnx").read_bytes())
    content[10] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(registry.PackageDamaged, match=r"model\.onnx"):
        registry.read_package(folder)
    assert registry.stage_package(project, package.digest, tmp_path) == folder
    assert registry.read_package(folder) == package
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(package.digest)] == [package.digest]


def test_a_half_written_copy_is_not_taken_for_a_package(
    project: Project, package: registry.Package, tmp_path: Path
) -> None:
    torn = tmp_path / package.digest
    torn.mkdir()
    (torn / "model.onnx").write_bytes(b"half")
    with pytest.raises(registry.NoSuchPackage):
        registry.read_package(torn)
    assert registry.read_package(registry.stage_package(project, package.digest, tmp_path)) == package


def test_a_damaged_blob_stages_nothing(project: Project, package: registry.Package, tmp_path: Path) -> None:
    file = project.blobs.path(package.files["model.onnx"])
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(BlobCorrupt):
        registry.stage_package(project, package.digest, tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


def test_an_unknown_package_is_not_found(project: Project) -> None:
    with pytest.raises(registry.NoSuchPackage):
        registry.load_package(project, "0" * 64)


_MANIFEST_OF_2013 = (
    b'{"entity":"flight","features":["weather@4f1c"],"files":{"model.onnx":"'
    + b"1" * 64
    + b'"},"instant":"at","request":{"inputs":[{"dtype":"","name":"at","nullable":false,"shape":[],"type":"string"},'
    b'{"dtype":"","name":"flight","nullable":false,"shape":[],"type":"int"}],"outputs":[]},"runtime":"onnx",'
    b'"signature":{"inputs":[{"dtype":"float32","name":"x","nullable":true,"shape":[2],"type":"float"}],'
    b'"outputs":[{"dtype":"float32","name":"y","nullable":false,"shape":[],"type":"float"}]}}'
)


def test_an_old_manifest_stays_readable(project: Project) -> None:
    package = registry.load_package(project, project.blobs.put(_MANIFEST_OF_2013))
    assert package.digest == "67731f5c2d3060cdcba5d382b9845812c6bb5c9ca7a0795aae858e3502b5ccb3"
    assert package.features == ("weather@4f1c",)
    assert package.signature.inputs == (Field(name="x", type="float", nullable=True, dtype="float32", shape=(2,)),)
    assert (package.instant, package.entity) == ("at", "flight")
