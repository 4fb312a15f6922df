#include "site_agent/learning/batch_loader.h"

#include <numeric>

#include "tests/catch.h"
#include "tests/site_agent/learning/made_dataset.h"
#include "tests/site_agent/learning/square_dataset.h"

namespace consilium::learning {
namespace {

std::vector<std::size_t> BatchSizes(std::size_t examples, std::uint32_t batch_size) {
  const SquareDataset data(examples, 16, 1);
  std::vector<std::size_t> order(examples);
  std::iota(order.begin(), order.end(), std::size_t{0});
  BatchLoader loader(data, std::move(order), {.batch_size = batch_size});
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < loader.batches(); ++i) sizes.push_back(loader.Next().count);
  return sizes;
}

TEST_CASE("Batches cover the data, and a lone last example joins the batch before it") {
  CHECK(BatchSizes(0, 4) == std::vector<std::size_t>{});
  CHECK(BatchSizes(1, 4) == std::vector<std::size_t>{1});
  CHECK(BatchSizes(8, 4) == std::vector<std::size_t>{4, 4});
  CHECK(BatchSizes(9, 4) == std::vector<std::size_t>{4, 5});
  CHECK(BatchSizes(10, 4) == std::vector<std::size_t>{4, 4, 2});
}

TEST_CASE("A batch holds the examples that the order names, with their targets") {
  const SquareDataset data(6, 16, 1);
  BatchLoader loader(data, {5, 0, 3}, {.batch_size = 2});
  const Batch batch = loader.Next();  // three examples: the lone last one joined
  REQUIRE(batch.count == 3);
  CHECK(batch.targets == std::vector<float>{1, 0, 1});
  std::vector<float> image(16 * 16);
  data.Get(3, image);
  CHECK(std::equal(image.begin(), image.end(), batch.inputs.begin() + 2 * 16 * 16));
}

TEST_CASE("Channels of an image lie next to each other at each pixel of a batch") {
  MadeDataset data({.channels = 3, .height = 1, .width = 2}, 1);
  data.Add({{1, 2, 10, 20, 100, 200}, {1}, 1});
  BatchLoader loader(data, {0}, {.batch_size = 1});
  CHECK(loader.Next().inputs == std::vector<float>{1, 10, 100, 2, 20, 200});
}

TEST_CASE("Rows of a table are never augmented") {
  MadeDataset data = TableData(1);
  data.Add({{3, kUnknown}, {1}, 1});
  BatchLoader loader(data, {0}, {.augmentation = plan::Augmentation::kRadiograph});
  const Batch batch = loader.Next();
  CHECK(batch.inputs[0] == 3);
  CHECK(std::isnan(batch.inputs[1]));
}

TEST_CASE("A loader that is given up early waits for its reader") {
  const SquareDataset data(64, 16, 1);
  std::vector<std::size_t> order(64, 0);
  BatchLoader loader(data, std::move(order), {.batch_size = 8});
  CHECK(loader.Next().count == 8);
}

}  // namespace
}  // namespace consilium::learning
