#include "datasets/results/picture.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/status.h"
#include "datasets/explain/bitmap_font.h"

namespace consilium::datasets::results {
namespace {

constexpr float kContour = 0.5f;  // of the most
constexpr double kTint = 0.45;    // of the picture's colour where the activation is 1
constexpr int kTextScale = 2, kTextMargin = 6;
constexpr std::array<double, 3> kWarm = {255, 96, 0};
constexpr std::array<std::uint8_t, 3> kLine = {255, 220, 0};

double Windowed(double x, const VoiWindow& window) {  // PS3.3 C.11.2.1.2
  const double c = window.center, w = std::max(window.width, 1e-9);
  if (window.function == VoiWindow::Function::kSigmoid) {
    return 1 / (1 + std::exp(-4 * (x - c) / w));
  }
  if (window.function == VoiWindow::Function::kLinear && w > 1) {
    return (x - (c - 0.5)) / (w - 1) + 0.5;
  }
  return (x - c) / w + 0.5;
}

// Percentiles 1 and 99 of what is no padding.
VoiWindow WindowOf(const Image& image) {
  std::vector<float> values;
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    if (image.padding.empty() || !image.padding[i]) values.push_back(image.pixels[i]);
  }
  if (values.empty()) return {};
  const auto at = [&](double share) {
    const auto rank = values.begin() +
                      static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), rank, values.end());
    return double{*rank};
  };
  const double low = at(0.01), high = at(0.99);
  return {(low + high) / 2, std::max(high - low, 1e-6), VoiWindow::Function::kLinearExact};
}

std::vector<float> Brightness(const Image& image) {
  const VoiWindow window = image.window ? *image.window : WindowOf(image);
  std::vector<float> out(image.pixels.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    double value = std::clamp(Windowed(image.pixels[i], window), 0.0, 1.0);
    if (image.larger_is_darker) value = 1 - value;
    if (!image.padding.empty() && image.padding[i]) value = 0;
    out[i] = std::isfinite(value) ? static_cast<float>(value) : 0;
  }
  return out;
}

// The values of an image at the pixels of a picture of another size: averaged where it is smaller,
// linear where it is larger.
class Scaled {
 public:
  // `values` are rows * columns; `to_rows` and `to_columns` are the picture's.
  Scaled(const std::vector<float>& values, std::uint32_t rows, std::uint32_t columns,
         std::uint32_t to_rows, std::uint32_t to_columns)
      : values_(values),
        rows_(rows),
        columns_(columns),
        row_step_(double{1} * rows / to_rows),
        column_step_(double{1} * columns / to_columns) {}

  double At(std::uint32_t row, std::uint32_t column) const {
    const Span down = SpanOf(row, row_step_, rows_),
               across = SpanOf(column, column_step_, columns_);
    double sum = 0, weights = 0;
    for (std::size_t j = 0; j < down.count; ++j) {
      for (std::size_t i = 0; i < across.count; ++i) {
        const double weight = down.Weight(j) * across.Weight(i);
        sum += weight * double{values_[(down.first + j) * columns_ + across.first + i]};
        weights += weight;
      }
    }
    return sum / weights;
  }

 private:
  struct Span {
    std::size_t first = 0, count = 1;
    double share = -1;  // of the second of two; below 0: all count the same
    double Weight(std::size_t i) const { return share < 0 ? 1 : i == 0 ? 1 - share : share; }
  };
  static Span SpanOf(std::uint32_t pixel, double step, std::uint32_t size) {
    if (step > 1) {
      const auto first = std::min<std::size_t>(static_cast<std::size_t>(pixel * step), size - 1);
      const auto end = static_cast<std::size_t>((pixel + 1) * step);
      return {first, std::clamp<std::size_t>(end - std::min(end, first), 1, size - first), -1};
    }
    const double at = std::clamp((pixel + 0.5) * step - 0.5, 0.0, size - 1.0);
    const auto first = static_cast<std::size_t>(at);
    if (first + 1 >= size) return {first, 1, -1};
    return {first, 2, at - static_cast<double>(first)};
  }

  const std::vector<float>& values_;
  std::uint32_t rows_, columns_;
  double row_step_, column_step_;
};

void Put(Picture& picture, std::uint32_t row, std::uint32_t column,
         const std::array<std::uint8_t, 3>& colour) {
  if (row >= picture.rows || column >= picture.columns) return;
  std::copy(colour.begin(), colour.end(),
            picture.rgb.begin() +
                static_cast<std::ptrdiff_t>((std::size_t{row} * picture.columns + column) * 3));
}

void DrawLine(Picture& picture, std::uint32_t top, const std::string& line) {
  explain::DrawText(line, kTextScale, [&](int x, int y) {
    Put(picture, top + static_cast<std::uint32_t>(y), static_cast<std::uint32_t>(kTextMargin + x),
        {255, 255, 255});
  });
}

// Where the activation crosses the contour's value between a pixel and its neighbours.
void DrawContour(Picture& picture, const std::vector<float>& shown, std::uint32_t rows) {
  const auto inside = [&](std::uint32_t row, std::uint32_t column) {
    return shown[std::size_t{row} * picture.columns + column] >= kContour;
  };
  for (std::uint32_t row = 0; row + 1 < rows; ++row) {
    for (std::uint32_t column = 0; column + 1 < picture.columns; ++column) {
      const bool here = inside(row, column);
      if (here == inside(row + 1, column) && here == inside(row, column + 1)) continue;
      Put(picture, row, column, kLine);
    }
  }
}

}  // namespace

Backdrop MakeBackdrop(const Image& image) {
  CONSILIUM_CHECK(image.rows > 0 && image.columns > 0);
  const bool spaced = image.row_spacing_mm > 0 && image.column_spacing_mm > 0;
  const double height = image.rows * (spaced ? image.row_spacing_mm : 1);
  const double width = image.columns * (spaced ? image.column_spacing_mm : 1);
  const double scale = kPictureSide / std::max(height, width);
  const auto pixels = [&](double length) {
    return std::max<std::uint32_t>(1, static_cast<std::uint32_t>(std::lround(length * scale)));
  };
  Backdrop backdrop{.rows = pixels(height),
                    .columns = pixels(width),
                    .image_rows = image.rows,
                    .image_columns = image.columns};
  const std::vector<float> brightness = Brightness(image);
  const Scaled scaled(brightness, image.rows, image.columns, backdrop.rows, backdrop.columns);
  for (std::uint32_t row = 0; row < backdrop.rows; ++row) {
    for (std::uint32_t column = 0; column < backdrop.columns; ++column) {
      backdrop.brightness.push_back(static_cast<float>(scaled.At(row, column)));
    }
  }
  return backdrop;
}

Picture Draw(const Backdrop& backdrop, const std::vector<float>& activation,
             const std::vector<std::string>& lines) {
  constexpr std::uint32_t kLineHeight = explain::kGlyphHeight * kTextScale + kTextMargin;
  Picture picture;
  picture.columns = backdrop.columns;
  picture.rows =
      backdrop.rows + kTextMargin + static_cast<std::uint32_t>(lines.size()) * kLineHeight;
  picture.rgb.resize(std::size_t{picture.rows} * picture.columns * 3);
  std::vector<float> shown(std::size_t{backdrop.rows} * backdrop.columns);
  if (!activation.empty()) {
    const Scaled scaled(activation, backdrop.image_rows, backdrop.image_columns, backdrop.rows,
                        backdrop.columns);
    for (std::size_t i = 0; i < shown.size(); ++i) {
      shown[i] = static_cast<float>(scaled.At(static_cast<std::uint32_t>(i / backdrop.columns),
                                              static_cast<std::uint32_t>(i % backdrop.columns)));
    }
  }
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const double light = 255 * double{backdrop.brightness[i]}, share = kTint * double{shown[i]};
    for (std::size_t channel = 0; channel < 3; ++channel) {
      picture.rgb[i * 3 + channel] =
          static_cast<std::uint8_t>(std::lround(light + share * (kWarm[channel] - light)));
    }
  }
  DrawContour(picture, shown, backdrop.rows);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto line = static_cast<std::uint32_t>(i);
    DrawLine(picture, backdrop.rows + kTextMargin + line * kLineHeight, lines[i]);
  }
  return picture;
}

}  // namespace consilium::datasets::results
