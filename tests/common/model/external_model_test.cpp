#include "common/model/external_model.h"

#include <bit>
#include <cmath>
#include <limits>

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/common/temporary_folder.h"

namespace consilium {
namespace {

struct Tensor {
  std::string name, dtype, shape;
  std::string data;
};

std::string FileOf(const std::vector<Tensor>& tensors, std::string_view metadata = "") {
  std::string json = "{" + std::string(metadata), data;
  for (const Tensor& tensor : tensors) {
    StrAppend(&json, json.size() == 1 ? "" : ",", "\"", tensor.name, "\":{\"dtype\":\"",
              tensor.dtype, "\",\"shape\":[", tensor.shape, "],\"data_offsets\":[", data.size(),
              ",", data.size() + tensor.data.size(), "]}");
    data += tensor.data;
  }
  json += "}";
  std::string size(8, '\0');
  StoreLe64(reinterpret_cast<std::uint8_t*>(size.data()), json.size());
  return size + json + data;
}

template <class Number>
std::string DataOf(const std::vector<Number>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)};
}

struct Files {
  TemporaryFolder folder;
  absl::StatusOr<ExternalModel> Open(const std::string& bytes) {
    REQUIRE(WriteFileDurably(folder / "model.safetensors", bytes).ok());
    return ExternalModel::Open(folder / "model.safetensors");
  }
};

std::vector<float> Converted(const std::string& dtype, const std::string& data,
                             const std::string& shape) {
  Files files;
  const auto model = files.Open(FileOf({{"x", dtype, shape, data}}));
  INFO(model.status());
  REQUIRE(model.ok());
  const auto values = model->Read(model->tensors()[0]);
  INFO(values.status());
  REQUIRE(values.ok());
  return *values;
}

ModelState Start(const Layout& layout) {
  return *ModelState::Create(layout, std::vector<float>(TotalElements(layout), -1));
}

const Layout kNetwork = {{"conv1.weight", {1, 2}},
                         {"bn1.num_batches_tracked", {}},
                         {"fc.weight", {1, 2}},
                         {"fc.bias", {1}}};

// Of the same network under other names, with ten classes.
std::vector<Tensor> Theirs(const std::string& prefix) {
  return {{prefix + "conv1.weight", "F32", "1,2", DataOf<float>({1, 2})},
          {prefix + "fc.weight", "F32", "10,2", DataOf(std::vector<float>(20, 5))},
          {prefix + "fc.bias", "F32", "10", DataOf(std::vector<float>(10, 5))}};
}

}  // namespace

TEST_CASE("tensors of other types become float32") {
  const std::vector<float> expected = {1.5f, -2, 0, 65504};
  CHECK(Converted("F32", DataOf<float>({1.5f, -2, 0, 65504}), "4") == expected);
  CHECK(Converted("F64", DataOf<double>({1.5, -2, 0, 65504}), "2,2") == expected);
  CHECK(Converted("F16", DataOf<std::uint16_t>({0x3e00, 0xc000, 0, 0x7bff}), "4") == expected);
  CHECK(Converted("BF16", DataOf<std::uint16_t>({0x3fc0, 0xc000}), "2") ==
        std::vector<float>{1.5f, -2});
  CHECK(Converted("I64", DataOf<std::int64_t>({-7}), "") == std::vector<float>{-7});
  // The smallest half, which is subnormal.
  CHECK(Converted("F16", DataOf<std::uint16_t>({1}), "1") ==
        std::vector<float>{std::ldexp(1.0f, -24)});
}

TEST_CASE("what is no finite float32 is refused") {
  Files files;
  const auto read = [&](const std::string& dtype, const std::string& data) {
    const auto model = files.Open(FileOf({{"x", dtype, "1", data}}));
    REQUIRE(model.ok());
    return model->Read(model->tensors()[0]).status();
  };
  CHECK(Says(read("F64", DataOf<double>({1e300})), "no finite float32"));
  CHECK(Says(read("F16", DataOf<std::uint16_t>({0x7c00})), "no finite float32"));
  CHECK(Says(read("F32", DataOf<float>({std::numeric_limits<float>::quiet_NaN()})), "finite"));
  CHECK(Says(read("U8", "a"), "dtype U8, which is not taken"));
  CHECK(Says(read("F32", "abc"), "another size than its shape"));
}

TEST_CASE("a file that is no safetensors, or lies about itself, is refused") {
  Files files;
  const std::string whole = FileOf({{"x", "F32", "1", DataOf<float>({1})}});
  CHECK_FALSE(files.Open("").ok());
  CHECK(Says(files.Open("PK\x03\x04 a PyTorch file, which is a ZIP").status(), ".pth"));
  CHECK_FALSE(files.Open(whole.substr(0, whole.size() - 1)).ok());
  CHECK_FALSE(files.Open(whole.substr(0, 20)).ok());
  const std::uint64_t seed = 5;
  SeededRandom random(seed);
  for (int i = 0; i < 2000; ++i) {
    INFO("seed 5, trial " << i);
    std::string broken = whole;
    broken[random.Below(broken.size())] = static_cast<char>(random.Below(256));
    const auto model = files.Open(broken);
    if (!model.ok()) continue;
    for (const ExternalTensor& tensor : model->tensors()) (void)model->Read(tensor);
  }
}

TEST_CASE("names map as they are, without the prefix that most have, and by renames") {
  Files files;
  const std::string prefix = GENERATE("", "module.", "model.", "backbone.");
  auto theirs = Theirs(prefix);
  theirs[1].shape = "1,2", theirs[1].data = DataOf<float>({3, 4});
  theirs[2].shape = "1", theirs[2].data = DataOf<float>({9});
  const auto mapped = MapModel(*files.Open(FileOf(theirs)), Start(kNetwork), {});
  INFO(mapped.status());
  REQUIRE(mapped.ok());
  CHECK(mapped->refused == 0);
  CHECK(mapped->prefix == prefix);
  CHECK(mapped->values == std::vector<float>{1, 2, -1, 3, 4, 9});
  CHECK(mapped->rows[0].from == prefix + "conv1.weight");
  CHECK_THAT(mapped->rows[1].remark, ContainsText("keeps its start"));
}

TEST_CASE("a last layer of other classes is refused, or kept at its start when asked to") {
  Files files;
  const ExternalModel theirs = *files.Open(FileOf(Theirs("")));
  const auto refused = MapModel(theirs, Start(kNetwork), {});
  CHECK(refused->refused == 2);
  CHECK(refused->rows[2].refused);
  CHECK_THAT(refused->rows[2].remark, ContainsText("the file's is 10x2"));
  const auto skipped = MapModel(theirs, Start(kNetwork), {{}, /*skip_head=*/true});
  CHECK(skipped->refused == 0);
  CHECK(skipped->values == std::vector<float>{1, 2, -1, -1, -1, -1});
}

TEST_CASE("what the file lacks is refused by name, what nobody uses is said") {
  Files files;
  const ExternalModel theirs =
      *files.Open(FileOf({{"stem.weight", "F32", "1,2", DataOf<float>({1, 2})},
                          {"other", "F32", "1", DataOf<float>({1})}}));
  MappingOptions options{{{"stem.", "conv1."}}, true};
  const auto mapped = MapModel(theirs, Start(kNetwork), options);
  CHECK(mapped->refused == 0);
  CHECK(mapped->unused == std::vector<std::string>{"other"});
  CHECK(mapped->rows[0].from == "stem.weight");
  CHECK(MapModel(theirs, Start(kNetwork), {{}, true})->refused == 1);
  options.renames = {{"other", "stem.weight"}};
  CHECK(Says(MapModel(theirs, Start(kNetwork), options).status(), "two tensors"));
}

}  // namespace consilium
