#include "datasets/pipeline/pipeline.h"

#include <algorithm>
#include <cmath>

#include "datasets/pipeline/framing.h"
#include "datasets/transform.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets::pipeline {
namespace {

using plan::DefaultsOf;
using plan::Preset;

Image Dark(std::uint32_t rows, std::uint32_t columns, float value = 0) {
  Image image;
  image.rows = rows;
  image.columns = columns;
  image.pixels.assign(std::size_t{rows} * columns, value);
  return image;
}

void Fill(Image* image, const Box& box, float value) {
  for (std::uint32_t row = box.top; row < box.bottom; ++row) {
    for (std::uint32_t column = box.left; column < box.right; ++column) {
      image->pixels[std::size_t{row} * image->columns + column] = value;
    }
  }
}

// Half an ellipse on the left edge: the breast of a left mammogram.
Image Breast(std::uint32_t rows = 200, std::uint32_t columns = 160) {
  Image image = Dark(rows, columns, 10);
  for (std::uint32_t row = 0; row < rows; ++row) {
    for (std::uint32_t column = 0; column < columns; ++column) {
      const double x = (column + 0.5) / 70, y = (row + 0.5 - 100) / 60;
      if (x * x + y * y < 1) {
        image.pixels[std::size_t{row} * columns + column] =
            static_cast<float>(300 + 4 * column + row);
      }
    }
  }
  return image;
}

Image Mirrored(const Image& image) { return Cut(image, {0, 0, image.columns, image.rows}, true); }

// The same image, stored with larger values darker.
Image Negative(Image image) {
  for (float& value : image.pixels) value = 4095 - value;
  image.larger_is_darker = !image.larger_is_darker;
  if (image.window) image.window->center = 4096 - image.window->center;
  return image;
}

std::vector<float> Input(const Image& image, const plan::Preprocessing& preprocessing,
                         const Hints& hints = {}, Placement* placement = nullptr) {
  auto input = MakeInput(image, preprocessing, hints, nullptr, placement);
  REQUIRE(input.ok());
  return *std::move(input);
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max<double>(largest, std::abs(a[i] - b[i]));
  }
  return largest;
}

struct Stages : StageObserver {
  void See(Stage stage) override { seen.push_back(std::move(stage)); }
  std::vector<Stage> seen;
};

}  // namespace

TEST_CASE("A fixed range maps its ends to black and white and cuts what is beyond") {
  Image image = Dark(2, 2);
  image.pixels = {-1000, -160, 40, 3000};
  auto ct = DefaultsOf(Preset::kCt, 16);
  ct.image_size = 2;
  const auto input = Input(image, ct);
  CHECK(input == std::vector<float>{0, 0, 0.5f, 1});
}

TEST_CASE("The foreground is the box of the largest bright object") {
  Image image = Dark(100, 80);
  Fill(&image, {20, 30, 60, 90}, 500);
  Fill(&image, {65, 2, 75, 12}, 4000);  // a brighter but smaller label
  const auto found = FindForeground(image);
  REQUIRE(found);
  CHECK(found->box.left <= 20);
  CHECK(found->box.left >= 18);
  CHECK(found->box.top <= 30);
  CHECK(found->box.right >= 60);
  CHECK(found->box.right <= 62);
  CHECK(found->box.bottom >= 90);
  CHECK(found->box.bottom <= 92);
  CHECK(found->right_of_image == Approx(0.5).margin(0.02));
}

TEST_CASE("A bright frame, a thin wire and padding do not belong to the object") {
  Image image = Breast();
  const Box alone = FindForeground(image)->box;
  Fill(&image, {0, 0, 160, 1}, 4000);  // a frame along the edge
  Fill(&image, {159, 0, 160, 200}, 4000);
  Fill(&image, {60, 100, 159, 101}, 4000);  // a line from the breast to the frame
  Fill(&image, {130, 5, 155, 15}, 4000);    // "L MLO"
  CHECK(FindForeground(image)->box == alone);
  image.padding.assign(image.pixels.size(), false);
  for (std::uint32_t row = 0; row < image.rows; ++row) {
    for (std::uint32_t column = 100; column < image.columns; ++column) {
      image.padding[std::size_t{row} * image.columns + column] = true;
      image.pixels[std::size_t{row} * image.columns + column] = 4095;
    }
  }
  CHECK(FindForeground(image)->box == alone);
}

TEST_CASE("An image without an object stays whole") {
  CHECK_FALSE(FindForeground(Dark(40, 40, 7)));
  Image speck = Dark(100, 100);
  Fill(&speck, {50, 50, 52, 52}, 900);
  CHECK_FALSE(FindForeground(speck));
  const auto mammography = DefaultsOf(Preset::kMammography, 16);
  Placement placement;
  Input(speck, mammography, {}, &placement);
  CHECK(placement.right == 100);
  CHECK(placement.bottom == 100);
  CHECK_FALSE(placement.mirrored);
}

TEST_CASE("Mirrored views of a breast give the same input") {
  const auto mammography = DefaultsOf(Preset::kMammography, 64);
  const Image left = Breast();
  Placement of_left, of_right;
  const auto input = Input(left, mammography, {}, &of_left);
  CHECK(LargestDifference(input, Input(Mirrored(left), mammography, {}, &of_right)) < 1e-5);
  CHECK_FALSE(of_left.mirrored);
  CHECK(of_right.mirrored);
  // Both placements lead to the same tissue: a column as far from the chest wall.
  CHECK(of_left.ImageColumn(20) == Approx(160 - of_right.ImageColumn(20)));
  CHECK(of_left.ImageRow(20) == Approx(of_right.ImageRow(20)));
}

TEST_CASE("MONOCHROME1 and MONOCHROME2 of one image give the same input with every intensity") {
  Image image = Breast();
  image.window = VoiWindow{700, 900};
  for (const auto intensity :
       {plan::Intensity::kWindow, plan::Intensity::kPercentile, plan::Intensity::kRange}) {
    auto mammography = DefaultsOf(Preset::kMammography, 64);
    mammography.intensity = intensity;
    CHECK(LargestDifference(Input(image, mammography), Input(Negative(image), mammography)) < 1e-5);
  }
}

TEST_CASE("The header decides the side only where the tissue does not") {
  const auto mammography = DefaultsOf(Preset::kMammography, 32);
  Hints says_right;
  says_right.facing = Facing::kRight;
  says_right.facing_source = "laterality R";
  Placement placement;
  Input(Breast(), mammography, says_right, &placement);
  CHECK_FALSE(placement.mirrored);
  Image even = Dark(100, 100);
  Fill(&even, {20, 20, 80, 80}, 800);
  Input(even, mammography, says_right, &placement);
  CHECK(placement.mirrored);
  Input(even, mammography, {}, &placement);
  CHECK_FALSE(placement.mirrored);
  Stages stages;
  REQUIRE(MakeInput(Breast(), mammography, says_right, &stages).ok());
  CHECK_THAT(stages.seen[1].what, ContainsText("laterality R it should be the other"));
}

TEST_CASE("A disc that the image cuts off keeps its centre and its shape") {
  Image image = Dark(120, 200);
  for (std::uint32_t row = 0; row < 120; ++row) {
    for (std::uint32_t column = 0; column < 200; ++column) {
      const double x = column + 0.5 - 100, y = row + 0.5 - 80;  // cut off below
      if (x * x + y * y < 70 * 70) image.pixels[row * 200 + column] = 120;
    }
  }
  Placement placement;
  Input(image, DefaultsOf(Preset::kRetina, 64), {}, &placement);
  CHECK(placement.centre_column == Approx(100).margin(1));
  CHECK(placement.centre_row == Approx(80).margin(3));
  CHECK(placement.columns_a_pixel * 64 == Approx(140).margin(6));
}

TEST_CASE("Padding is black where the plan says so, and counts in no percentile") {
  Image image = Dark(20, 20, 100);
  Fill(&image, {0, 0, 10, 20}, 200);
  image.padding.assign(400, false);
  for (std::size_t i = 380; i < 400; ++i) {
    image.padding[i] = true;
    image.pixels[i] = 65535;
  }
  auto radiograph = DefaultsOf(Preset::kRadiograph, 20);
  auto input = Input(image, radiograph);
  CHECK(input[0] == 1);
  CHECK(input[19] == 0);
  CHECK(input[399] == 0);
  radiograph.blank_padding = false;
  CHECK(Input(image, radiograph)[399] == 1);
}

TEST_CASE("A placement leads from the input back to the image") {
  Image image = Dark(100, 80);
  Fill(&image, {30, 40, 50, 60}, 100);
  Fill(&image, {38, 48, 42, 52}, 1000);  // a mark in the middle, at (40, 50)
  image.row_spacing_mm = 0.5;
  image.column_spacing_mm = 0.25;
  auto breast = DefaultsOf(Preset::kMammography, 40);
  breast.face_left = false;
  Placement placement;
  const auto input = Input(image, breast, {}, &placement);
  const auto brightest = std::max_element(input.begin(), input.end()) - input.begin();
  CHECK(placement.ImageColumn(static_cast<double>(brightest % 40) + 0.5) == Approx(40).margin(3));
  CHECK(placement.ImageRow(static_cast<double>(brightest / 40) + 0.5) == Approx(50).margin(3));
  CHECK(placement.Shows(40, 50));
  CHECK_FALSE(placement.Shows(10, 50));
  CHECK(placement.columns_a_pixel == Approx(2 * placement.rows_a_pixel));
}

TEST_CASE("The observer sees the steps in order, the last one being the input") {
  Stages stages;
  const auto mammography = DefaultsOf(Preset::kMammography, 32);
  const auto input = MakeInput(Mirrored(Breast()), mammography, {}, &stages);
  REQUIRE(stages.seen.size() == 4);
  CHECK(stages.seen[0].name == "cropped");
  CHECK(stages.seen[1].name == "mirrored");
  CHECK(stages.seen[2].name == "brightness");
  CHECK(stages.seen[3].name == "input");
  CHECK(stages.seen[3].pixels == *input);
  for (const Stage& stage : stages.seen) {
    CHECK(stage.pixels.size() == std::size_t{stage.rows} * stage.columns);
    CHECK_FALSE(stage.what.empty());
  }
}

}  // namespace consilium::datasets::pipeline
