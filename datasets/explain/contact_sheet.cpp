#include "datasets/explain/contact_sheet.h"

#include <png.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "datasets/explain/bitmap_font.h"

namespace consilium::datasets::explain {
namespace {

constexpr Colour GreyOf(std::uint8_t value) { return {value, value, value}; }
constexpr Colour kPaper = GreyOf(28), kInk = GreyOf(235), kFaint = GreyOf(150), kFrame = GreyOf(70);
// Told apart by people who see no red or no green, too (Okabe and Ito 2008).
constexpr Colour kOutlines[] = {{230, 159, 0},  {86, 180, 233}, {0, 158, 115},
                                {240, 228, 66}, {213, 94, 0},   {204, 121, 167}};
constexpr std::uint32_t kPicture = kLargestPicture, kGap = 20, kMost = 4;  // steps in a row
constexpr std::uint32_t kHistogram = 48;
constexpr std::size_t kLineLength = kPicture / kGlyphAdvance;  // characters of scale 1
constexpr std::size_t kNotes = 4;                              // lines below a picture
constexpr std::uint32_t kName = 26;
constexpr std::uint32_t kTile =
    kName + kPicture + 8 + kHistogram + 14 + kNotes * kLineAdvance + kGap;

std::vector<std::string> Wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    std::size_t end = std::min(width, text.size());
    if (end < text.size()) {
      const std::size_t space = text.substr(0, end + 1).rfind(' ');
      if (space != std::string_view::npos && space > 0) end = space;
    }
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  }
  return lines;
}

std::uint8_t Brightness(double value, double low, double high) {
  if (low == high) return 0;
  return static_cast<std::uint8_t>(
      std::lround(255 * std::clamp((value - low) / (high - low), 0.0, 1.0)));
}

Colour PixelOf(const Step& step, std::uint32_t row, std::uint32_t column) {
  const std::size_t plane = std::size_t{step.picture_rows} * step.picture_columns;
  const std::size_t at = std::size_t{row} * step.picture_columns + column;
  const auto channel = [&](std::size_t c) {
    return Brightness(step.picture[c * plane + at], step.low, step.high);
  };
  return step.channels == 3 ? Colour{channel(0), channel(1), channel(2)} : GreyOf(channel(0));
}

// The structure whose outline runs through the middle of a picture's pixel: one that a neighbour of
// it is not; 0: none.
std::uint8_t OutlineAt(const Step& step, ByteView structures, std::uint32_t row,
                       std::uint32_t column) {
  const auto at = [&](std::int64_t y, std::int64_t x) -> std::uint8_t {
    if (y < 0 || x < 0 || y >= step.picture_rows || x >= step.picture_columns) return 0;
    const auto source = [](std::int64_t place, std::uint32_t from, std::uint32_t to) {
      return static_cast<std::size_t>((2 * place + 1) * to / (2 * std::int64_t{from}));
    };
    const std::size_t index = source(y, step.picture_rows, step.rows) * step.columns +
                              source(x, step.picture_columns, step.columns);
    return structures[index];
  };
  const std::uint8_t here = at(row, column);
  const bool inside = at(row - 1ll, column) == here && at(row + 1ll, column) == here &&
                      at(row, column - 1ll) == here && at(row, column + 1ll) == here;
  return inside ? 0 : here;
}

void DrawPicture(const Step& step, const Outlines* outlines, std::uint32_t left, std::uint32_t top,
                 Raster& raster) {
  const double shrink =
      static_cast<double>(std::max(step.picture_rows, step.picture_columns)) / kPicture;
  const auto width = std::max(1u, static_cast<std::uint32_t>(step.picture_columns / shrink));
  const auto height = std::max(1u, static_cast<std::uint32_t>(step.picture_rows / shrink));
  const std::uint32_t x0 = left + (kPicture - width) / 2, y0 = top + (kPicture - height) / 2;
  raster.Fill(x0 - 1, y0 - 1, width + 2, height + 2, kFrame);
  for (std::uint32_t y = 0; y < height; ++y) {
    const auto row = std::min(step.picture_rows - 1, static_cast<std::uint32_t>(y * shrink));
    for (std::uint32_t x = 0; x < width; ++x) {
      const auto column =
          std::min(step.picture_columns - 1, static_cast<std::uint32_t>(x * shrink));
      const std::uint8_t outline =
          outlines == nullptr ? 0 : OutlineAt(step, outlines->structures, row, column);
      raster.Set(x0 + x, y0 + y, outline > 0 ? ColourOf(outline) : PixelOf(step, row, column));
    }
  }
}

// Heights are square roots of shares, so that a rare value beside a common one is still seen.
void DrawHistogram(const Step& step, std::uint32_t left, std::uint32_t top, Raster& raster) {
  constexpr std::uint32_t kBar = kPicture / kHistogramBins;
  const double most = *std::max_element(step.histogram.begin(), step.histogram.end());
  for (std::size_t i = 0; i < step.histogram.size() && most > 0; ++i) {
    const double share = std::max(0.0, step.histogram[i] / most);
    const auto height = static_cast<std::uint32_t>(std::lround(kHistogram * std::sqrt(share)));
    raster.Fill(left + static_cast<std::uint32_t>(i) * kBar, top + kHistogram - height, kBar - 1,
                height, kFaint);
  }
  raster.Fill(left, top + kHistogram, kPicture, 1, kFrame);
  const std::string from = absl::StrFormat("%.4g", std::min(step.low, step.high));
  const std::string to = absl::StrFormat("%.4g", std::max(step.low, step.high));
  raster.Write(left, top + kHistogram + 4, from, 1, kFaint);
  raster.Write(left + kPicture - static_cast<std::uint32_t>(to.size()) * kGlyphAdvance,
               top + kHistogram + 4, to, 1, kFaint);
}

void DrawTile(const Step& step, std::size_t number, const Outlines* outlines, std::uint32_t left,
              std::uint32_t top, Raster& raster) {
  raster.Write(left, top, StrCat(number, " ", step.name), 2, kInk);
  top += kName;
  DrawPicture(step, outlines, left, top, raster);
  top += kPicture + 8;
  DrawHistogram(step, left, top, raster);
  top += kHistogram + 18;
  std::vector<std::string> lines = Wrapped(step.what, kLineLength);
  if (lines.size() > kNotes) {
    lines.resize(kNotes);
    lines.back().resize(std::min(lines.back().size(), kLineLength - 4));
    lines.back() += " ...";
  }
  for (const std::string& line : lines) {
    raster.Write(left, top, line, 1, kInk);
    top += kLineAdvance;
  }
}

}  // namespace

Colour ColourOf(std::uint8_t structure) {
  return kOutlines[static_cast<std::size_t>(structure - 1) % std::size(kOutlines)];
}

void Raster::Set(std::int64_t x, std::int64_t y, Colour colour) {
  if (x < 0 || y < 0 || x >= width || y >= height) return;
  pixels[static_cast<std::size_t>(y) * width + static_cast<std::size_t>(x)] = colour;
}

void Raster::Fill(std::int64_t left, std::int64_t top, std::int64_t columns, std::int64_t rows,
                  Colour colour) {
  for (std::int64_t y = top; y < top + rows; ++y) {
    for (std::int64_t x = left; x < left + columns; ++x) Set(x, y, colour);
  }
}

void Raster::Write(std::int64_t left, std::int64_t top, std::string_view text, int scale,
                   Colour colour) {
  DrawText(text, scale, [&](int x, int y) { Set(left + x, top + y, colour); });
}

Raster MakeContactSheet(std::string_view title, std::span<const Step> steps,
                        std::string_view verdict, const Outlines* outlines) {
  const auto count = static_cast<std::uint32_t>(std::max<std::size_t>(1, steps.size()));
  const std::uint32_t across = count <= kMost ? count : (count + 1) / 2;
  const std::uint32_t down = (count + across - 1) / across;
  constexpr std::uint32_t kTitle = 44;
  const std::uint32_t width = kGap + std::max(2u, across) * (kPicture + kGap);
  const auto lines = Wrapped(verdict, (width - 2 * kGap) / kGlyphAdvance);
  const std::size_t names = outlines == nullptr ? 0 : outlines->names.size();
  const auto below = static_cast<std::uint32_t>(lines.size() + names);
  const std::uint32_t height = kTitle + down * kTile + below * kLineAdvance + kGap / 2;
  Raster raster(width, height, kPaper);
  raster.Write(kGap, kGap / 2 + 4, title, 2, kInk);
  for (std::uint32_t i = 0; i < steps.size(); ++i) {
    const bool last = i + 1 == steps.size();
    DrawTile(steps[i], i + 1, last ? outlines : nullptr, kGap + i % across * (kPicture + kGap),
             kTitle + i / across * kTile, raster);
  }
  std::uint32_t top = kTitle + down * kTile;
  for (std::size_t i = 0; i < names; ++i) {
    raster.Write(kGap, top, outlines->names[i], 1, ColourOf(static_cast<std::uint8_t>(i + 1)));
    top += kLineAdvance;
  }
  for (const std::string& line : lines) {
    raster.Write(kGap, top, line, 1, kInk);
    top += kLineAdvance;
  }
  return raster;
}

absl::StatusOr<Bytes> ToPng(const Raster& raster) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = raster.width;
  header.height = raster.height;
  header.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  const void* pixels = raster.pixels.data();
  if (!png_image_write_to_memory(&header, nullptr, &size, 0, pixels, 0, nullptr)) {
    return absl::InternalError(StrCat("no PNG: ", header.message));
  }
  Bytes png(size);
  if (!png_image_write_to_memory(&header, png.data(), &size, 0, pixels, 0, nullptr)) {
    return absl::InternalError(StrCat("no PNG: ", header.message));
  }
  png.resize(size);
  return png;
}

}  // namespace consilium::datasets::explain
