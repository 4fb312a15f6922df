#include "common/model/safetensors.h"

#include <cstring>
#include <limits>

#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/common/temporary_folder.h"

namespace consilium {
namespace {

// A file from a header's JSON (padded as the format asks) and its data.
Bytes FileOf(std::string json, std::size_t data_bytes) {
  json.append((8 - json.size() % 8) % 8, ' ');
  Bytes file(8 + json.size() + data_bytes);
  StoreLe64(file.data(), json.size());
  std::memcpy(file.data() + 8, json.data(), json.size());
  return file;
}

// The status of reading a file of that header; a refusal must be kInvalidArgument.
absl::Status Refusal(const std::string& json, std::size_t data_bytes) {
  const absl::Status status = ParseSafetensors(FileOf(json, data_bytes)).status();
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  return status;
}

ModelState SmallModel() {
  auto model = ModelState::Create(
      {{"conv.weight", {2, 1, 2}}, {"conv.bias", {2}}, {"steps", {}}, {"none", {0}}},
      {0.5f, -1, 2, 3e-40f, 5, -0.0f, 7});
  REQUIRE(model.ok());
  return *model;
}

Bytes BytesOf(const ModelState& model, const std::map<std::string, std::string>& metadata = {}) {
  const std::string header = WriteSafetensorsHeader(model.layout(), metadata);
  Bytes bytes(header.begin(), header.end());
  const auto* data = reinterpret_cast<const std::uint8_t*>(model.values().data());
  bytes.insert(bytes.end(), data, data + model.values().size_bytes());
  return bytes;
}

TEST_CASE("a saved model comes back bit for bit") {
  TemporaryFolder folder;
  const ModelState model = SmallModel();
  REQUIRE(
      SaveSafetensors(folder / "m.safetensors", model, {{"plan", "chest \"x\" \n \xc3\xa9"}}).ok());
  const auto loaded = LoadSafetensors(folder / "m.safetensors");
  REQUIRE(loaded.ok());
  CHECK(loaded->layout() == model.layout());
  CHECK(std::memcmp(loaded->values().data(), model.values().data(), model.values().size_bytes()) ==
        0);
  auto file = File::OpenForReading(folder / "m.safetensors");
  REQUIRE(file.ok());
  const auto header = ReadSafetensorsHeader(*file);
  REQUIRE(header.ok());
  CHECK(header->metadata.at("plan") == "chest \"x\" \n \xc3\xa9");
  CHECK(header->file_size() == *file->Size());
  CHECK(header->data_offset % 8 == 0);
}

TEST_CASE("the bytes of a model are canonical") {
  const std::string json =
      R"({"__metadata__":{"a":"1","b":"2"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F32","shape":[],"data_offsets":[8,12]}})";
  const Bytes expected = FileOf(json, 0);
  CHECK(WriteSafetensorsHeader({{"w", {2, 1}}, {"b", {}}}, {{"b", "2"}, {"a", "1"}}) ==
        AsText(expected));
  TemporaryFolder folder;
  REQUIRE(SaveSafetensors(folder / "m", SmallModel(), {{"x", "y"}}).ok());
  CHECK(*ReadFile(folder / "m") == BytesOf(SmallModel(), {{"x", "y"}}));
}

TEST_CASE("saving leaves no temporary file behind, nor a target that could not be written") {
  TemporaryFolder folder;
  REQUIRE(SaveSafetensors(folder / "m", SmallModel()).ok());
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
  fs::create_directory(folder / "taken");
  CHECK_FALSE(SaveSafetensors(folder / "taken", SmallModel()).ok());
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 2);
  CHECK(SaveSafetensors(folder.path() / "none" / "m", SmallModel()).code() ==
        absl::StatusCode::kNotFound);
}

TEST_CASE("tensors stand in the order of their data, whatever the header's order") {
  const auto model =
      ParseSafetensors(FileOf(R"({"late":{"data_offsets":[4,12],"shape":[2],"dtype":"F32"},)"
                              R"( "early":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                              12));
  REQUIRE(model.ok());
  CHECK(model->layout() == Layout{{"early", {1}}, {"late", {2}}});
}

TEST_CASE(
    "a header is read from a beginning that holds it whole, and more is asked for otherwise") {
  const Bytes file = BytesOf(SmallModel());
  const auto offset = SafetensorsDataOffset(file, file.size());
  REQUIRE(offset.ok());
  CHECK(ReadSafetensorsHeader(ByteView(file).first(*offset), file.size()).ok());
  for (std::size_t n = 0; n < *offset; ++n) {
    const auto header = ReadSafetensorsHeader(ByteView(file).first(n), file.size());
    CHECK(header.status().code() == absl::StatusCode::kOutOfRange);
    CHECK(Says(header.status(), n < 8 ? "first 8 bytes" : StrCat("first ", *offset, " bytes")));
  }
}

TEST_CASE("a header size that cannot be is refused") {
  Bytes file = BytesOf(SmallModel());
  const auto refused = [&](std::uint64_t header_size) {
    StoreLe64(file.data(), header_size);
    return ParseSafetensors(file).status();
  };
  CHECK(Says(refused(0), "0 bytes"));
  CHECK(Says(refused(12), "multiple of 8"));
  CHECK(Says(refused(file.size() + 7), "goes beyond the file"));
  CHECK(Says(refused((16 << 20) + 8), "at most 16777216"));
  CHECK(Says(refused(std::numeric_limits<std::uint64_t>::max()), "at most 16777216"));
  CHECK(Says(ParseSafetensors(Bytes(7)).status(), "only 7 bytes"));
  CHECK(Says(ParseSafetensors({}).status(), "only 0 bytes"));
}

TEST_CASE("tensors with gaps, overlaps or offsets out of range are refused") {
  const auto two = [](std::string a, std::string b) {
    return R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)" + a +
           R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + b + "}}";
  };
  CHECK(ParseSafetensors(FileOf(two("[0,4]", "[4,8]"), 8)).ok());
  CHECK(Says(Refusal(two("[0,4]", "[8,12]"), 12), "there is a gap"));
  CHECK(Says(Refusal(two("[4,8]", "[8,12]"), 12), "there is a gap"));
  CHECK(Says(Refusal(two("[0,4]", "[0,4]"), 4), "tensors overlap"));
  CHECK(Says(Refusal(two("[0,4]", "[2,6]"), 6), "tensors overlap"));
  CHECK(Says(Refusal(two("[0,4]", "[4,8]"), 7), "the data has 7 bytes"));
  CHECK(Says(Refusal(two("[0,4]", "[8,4]"), 8), "offsets 8 to 4"));
  CHECK(Says(Refusal(two("[0,4]", "[4,8]"), 12), "end at byte 8 of 12"));
  CHECK(Says(Refusal(two("[0,4]", "[4,12]"), 12), "8 bytes where its shape needs 4"));
  CHECK(Says(Refusal(two("[0,4]", "[4,18446744073709551615]"), 8), "the data has 8 bytes"));
  CHECK(Says(Refusal(two("[0,4]", "[4]"), 4), "two data_offsets"));
  CHECK(Says(Refusal(two("[0,4]", "[4,8,8]"), 8), "more than two"));
  CHECK(Says(Refusal("{}", 4), "end at byte 0 of 4"));
}

TEST_CASE("a shape whose product overflows is refused before anything is allocated") {
  const auto shaped = [](std::string shape) {
    return R"({"w":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,4]}})";
  };
  CHECK(Says(Refusal(shaped("[4294967296,4294967296]"), 4), "too large"));
  CHECK(Says(Refusal(shaped("[4611686018427387905]"), 4), "too large"));  // 4 x this is 4 again
  CHECK(Says(Refusal(shaped("[9223372036854775808]"), 4), "too large"));
  CHECK(Says(Refusal(shaped("[18446744073709551616]"), 4), "not an integer of 64 bits"));
  CHECK(Says(Refusal(shaped("[-1]"), 4), "negative"));
  CHECK(Says(Refusal(shaped("[1.0]"), 4), "not an integer"));
}

TEST_CASE("another dtype is refused and named") {
  CHECK(Says(Refusal(R"({"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})", 4),
             "dtype F16, only F32"));
  CHECK(Says(Refusal(R"({"w":{"dtype":"\u001b[2Jevil","shape":[2],"data_offsets":[0,4]}})", 4),
             "unknown dtype"));
}

TEST_CASE("duplicate names and keys are refused") {
  const std::string w = R"("w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  CHECK(Says(Refusal("{" + w + "," + w + "}", 4), "two tensors have the name w"));
  CHECK(Says(Refusal(R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
             "dtype twice"));
  CHECK(Says(Refusal(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "twice in __metadata__"));
  CHECK(Says(Refusal(R"({"__metadata__":{},"__metadata__":{}})", 0), "__metadata__ stands twice"));
}

TEST_CASE("what does not belong into a header is refused") {
  CHECK(Says(Refusal(R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4), "no dtype"));
  CHECK(Says(Refusal(R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4), "no shape"));
  CHECK(Says(Refusal(R"({"w":{"dtype":"F32","shape":[1]}})", 4), "two data_offsets"));
  CHECK(Says(Refusal(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4),
             "unknown key"));
  CHECK(Says(Refusal(R"({"w":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4), "list"));
  CHECK(Says(Refusal(R"({"w":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", 4), "list"));
  CHECK(Says(Refusal(R"({"w":{"dtype":{"a":1},"shape":[1],"data_offsets":[0,4]}})", 4), "object"));
  CHECK(Says(Refusal(R"({"w":{"dtype":"F32","shape":"1","data_offsets":[0,4]}})", 4), "text"));
  CHECK(Says(Refusal(R"({"w":null})", 0), "null"));
  CHECK(Says(Refusal(R"({"w":[1]})", 0), "list"));
  CHECK(Says(Refusal(R"({"__metadata__":{"a":1}})", 0), "number"));
  CHECK(Says(Refusal(R"({"__metadata__":{"a":{"b":"c"}}})", 0), "object"));
  CHECK(Says(Refusal(R"({"":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0), "empty name"));
  CHECK(Says(Refusal("[]", 0), "not one JSON object"));
  CHECK(Says(Refusal(" {}", 0), "not one JSON object"));
  CHECK(Says(Refusal("{}\n", 0), "not one JSON object"));
  CHECK(Says(Refusal("{} {}", 0), "not JSON"));
  CHECK(Says(Refusal("{\"w\": }", 0), "not JSON"));
  CHECK(Says(Refusal("{\"\xff\":1}", 0), "not JSON"));
  CHECK(Says(Refusal("        ", 0), "not one JSON object"));
}

TEST_CASE("a header nested a million deep is refused without recursion") {
  CHECK(Says(Refusal("{\"w\":" + std::string(1'000'000, '{') + "}", 0), "not JSON"));
  CHECK(Says(Refusal("{\"w\":{\"shape\":" + std::string(1'000'000, '[') + "}", 0), "list"));
}

TEST_CASE("a model whose values are not finite is refused") {
  Bytes file = BytesOf(SmallModel());
  StoreLe32(file.data() + file.size() - 4, 0x7fc00000);
  CHECK(Says(ParseSafetensors(file).status(), "tensor steps holds a value that is NaN"));
}

// Whatever a byte of the header becomes, the file is refused or means a layout that covers its data
// exactly.
TEST_CASE("no flipped byte and no cut of a header is misread") {
  const ModelState model = SmallModel();
  const Bytes file = BytesOf(model, {{"key", "value"}});
  const auto offset = SafetensorsDataOffset(file, file.size());
  REQUIRE(offset.ok());
  int refused = 0, accepted = 0;
  for (std::size_t at = 0; at < *offset; ++at) {
    for (int value = 0; value < 256; ++value) {
      if (file[at] == value) continue;
      Bytes changed = file;
      changed[at] = static_cast<std::uint8_t>(value);
      const auto header = ReadSafetensorsHeader(changed, changed.size());
      if (!header.ok()) {
        ++refused;
        continue;
      }
      ++accepted;  // a letter of a name or of the metadata, or a shape of the same size
      REQUIRE(header->file_size() == file.size());
      REQUIRE(header->data_offset == *offset);
      REQUIRE(header->layout.size() == model.layout().size());
      for (std::size_t i = 0; i < header->layout.size(); ++i) {
        REQUIRE(header->layout[i].Elements() == model.layout()[i].Elements());
      }
    }
  }
  CHECK(refused > accepted);
  for (std::size_t size = 0; size < file.size(); ++size) {
    CHECK_FALSE(ParseSafetensors(ByteView(file).first(size)).ok());
  }
  Bytes longer = file;
  longer.push_back(0);
  CHECK_FALSE(ParseSafetensors(longer).ok());
}

}  // namespace
}  // namespace consilium
