#include "datasets/pipeline/foreground.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace consilium::datasets::pipeline {
namespace {

constexpr std::uint32_t kMostCells = 256;
constexpr double kSmallestShare = 0.01;
constexpr float kAboveBackground = 0.125f;

// The image on a coarse grid; higher is brighter.
struct Cells {
  std::uint32_t side = 1;  // pixels of the image to a cell's side
  std::uint32_t rows = 0, columns = 0;
  std::vector<float> values;
  std::vector<bool> valid;  // less than half of it is padding

  std::size_t At(std::uint32_t row, std::uint32_t column) const {
    return std::size_t{row} * columns + column;
  }
};

void FillCell(const Image& image, Cells& cells, std::uint32_t row, std::uint32_t column) {
  const std::uint32_t bottom = std::min(image.rows, (row + 1) * cells.side);
  const std::uint32_t right = std::min(image.columns, (column + 1) * cells.side);
  double sum = 0;
  std::size_t count = 0, all = 0;
  for (std::uint32_t y = row * cells.side; y < bottom; ++y) {
    for (std::uint32_t x = column * cells.side; x < right; ++x, ++all) {
      const std::size_t i = std::size_t{y} * image.columns + x;
      if (!image.padding.empty() && image.padding[i]) continue;
      sum += image.pixels[i];
      ++count;
    }
  }
  if (count == 0 || count * 2 < all) return;
  const double mean = sum / static_cast<double>(count);
  cells.values[cells.At(row, column)] = static_cast<float>(image.larger_is_darker ? -mean : mean);
  cells.valid[cells.At(row, column)] = true;
}

Cells ToCells(const Image& image) {
  Cells cells;
  cells.side = (std::max(image.rows, image.columns) + kMostCells - 1) / kMostCells;
  cells.rows = (image.rows + cells.side - 1) / cells.side;
  cells.columns = (image.columns + cells.side - 1) / cells.side;
  cells.values.assign(std::size_t{cells.rows} * cells.columns, 0.0f);
  cells.valid.assign(cells.values.size(), false);
  for (std::uint32_t row = 0; row < cells.rows; ++row) {
    for (std::uint32_t column = 0; column < cells.columns; ++column) {
      FillCell(image, cells, row, column);
    }
  }
  return cells;
}

// The threshold between two classes whose means lie the furthest apart.
float Otsu(const std::vector<float>& sorted, float low, float high) {
  constexpr std::size_t kBins = 256;
  std::array<double, kBins> bins{};
  for (const float value : sorted) {
    const float place = (std::min(value, high) - low) / (high - low) * (kBins - 1);
    bins[static_cast<std::size_t>(place)] += 1;
  }
  double all = 0;
  for (std::size_t i = 0; i < kBins; ++i) all += static_cast<double>(i) * bins[i];
  const auto count = static_cast<double>(sorted.size());
  double below = 0, sum_below = 0, best = -1, best_first = 0, best_last = 0;
  for (std::size_t i = 0; i + 1 < kBins; ++i) {
    below += bins[i];
    sum_below += static_cast<double>(i) * bins[i];
    if (below == 0 || below == count) continue;
    const double apart = sum_below / below - (all - sum_below) / (count - below);
    const double between = below * (count - below) * apart * apart;
    if (between > best) best_first = static_cast<double>(i);
    if (between >= best) best_last = static_cast<double>(i);
    best = std::max(best, between);
  }
  const double middle = (best_first + best_last) / 2 + 0.5;  // of a gap, where there is one
  return low + static_cast<float>(middle / kBins) * (high - low);
}

std::optional<float> Threshold(const Cells& cells) {
  std::vector<float> sorted;
  for (std::size_t i = 0; i < cells.values.size(); ++i) {
    if (cells.valid[i]) sorted.push_back(cells.values[i]);
  }
  if (sorted.empty()) return std::nullopt;
  std::sort(sorted.begin(), sorted.end());
  const float low = sorted.front();
  // A lead letter must not stretch the scale.
  const float high = sorted[(sorted.size() - 1) * 99 / 100];
  if (!(high > low)) return std::nullopt;
  const float background = sorted[sorted.size() / 20];
  return background + kAboveBackground * (Otsu(sorted, low, high) - background);
}

// Cells of which all eight neighbours are bright; beyond the image's edge counts as bright, so that
// what lies at the edge is not worn away.
std::vector<bool> Eroded(const Cells& cells, const std::vector<bool>& bright) {
  std::vector<bool> kept(bright.size());
  for (std::uint32_t row = 0; row < cells.rows; ++row) {
    for (std::uint32_t column = 0; column < cells.columns; ++column) {
      bool all = true;
      for (std::uint32_t y = row == 0 ? 0 : row - 1; y <= std::min(row + 1, cells.rows - 1); ++y) {
        for (std::uint32_t x = column == 0 ? 0 : column - 1;
             x <= std::min(column + 1, cells.columns - 1); ++x) {
          all = all && bright[cells.At(y, x)];
        }
      }
      kept[cells.At(row, column)] = all;
    }
  }
  return kept;
}

// The cells of the piece that `start` belongs to; they are taken out of `bright`.
std::vector<std::size_t> TakePiece(const Cells& cells, std::size_t start,
                                   std::vector<bool>& bright) {
  std::vector<std::size_t> piece = {start};
  bright[start] = false;
  const auto visit = [&](std::size_t cell) {
    if (!bright[cell]) return;
    bright[cell] = false;
    piece.push_back(cell);
  };
  for (std::size_t next = 0; next < piece.size(); ++next) {
    const std::size_t at = piece[next], column = at % cells.columns;
    if (column > 0) visit(at - 1);
    if (column + 1 < cells.columns) visit(at + 1);
    if (at >= cells.columns) visit(at - cells.columns);
    if (at + cells.columns < bright.size()) visit(at + cells.columns);
  }
  return piece;
}

std::vector<std::size_t> LargestPiece(const Cells& cells, std::vector<bool> bright) {
  std::vector<std::size_t> largest;
  for (std::size_t i = 0; i < bright.size(); ++i) {
    if (!bright[i]) continue;
    std::vector<std::size_t> piece = TakePiece(cells, i, bright);
    if (piece.size() > largest.size()) largest = std::move(piece);
  }
  return largest;
}

// Wider by `margin` cells on each side, in pixels of the image.
Box BoxOf(const Cells& cells, const std::vector<std::size_t>& piece, const Image& image,
          std::uint32_t margin) {
  std::uint32_t left = cells.columns, top = cells.rows, right = 0, bottom = 0;
  for (const std::size_t cell : piece) {
    const auto row = static_cast<std::uint32_t>(cell / cells.columns);
    const auto column = static_cast<std::uint32_t>(cell % cells.columns);
    left = std::min(left, column);
    right = std::max(right, column + 1);
    top = std::min(top, row);
    bottom = std::max(bottom, row + 1);
  }
  return {(left - std::min(left, margin)) * cells.side, (top - std::min(top, margin)) * cells.side,
          std::min(image.columns, (right + margin) * cells.side),
          std::min(image.rows, (bottom + margin) * cells.side)};
}

// The share of the piece to the right of `middle`, in cells.
double ShareRightOf(const Cells& cells, const std::vector<std::size_t>& piece, double middle) {
  double right = 0;
  for (const std::size_t cell : piece) {
    const auto column = static_cast<double>(cell % cells.columns);
    right += std::clamp(column + 1 - middle, 0.0, 1.0);
  }
  return right / static_cast<double>(piece.size());
}

}  // namespace

std::optional<Foreground> FindForeground(const Image& image) {
  const Cells cells = ToCells(image);
  const auto threshold = Threshold(cells);
  if (!threshold) return std::nullopt;
  std::vector<bool> bright(cells.values.size());
  for (std::size_t i = 0; i < bright.size(); ++i) {
    bright[i] = cells.valid[i] && cells.values[i] > *threshold;
  }
  std::uint32_t margin = 2;
  std::vector<std::size_t> piece = LargestPiece(cells, Eroded(cells, bright));
  if (piece.empty()) {
    margin = 1;
    piece = LargestPiece(cells, bright);
  }
  const auto valid = static_cast<double>(std::count(cells.valid.begin(), cells.valid.end(), true));
  Foreground found;
  found.share = static_cast<double>(piece.size()) / valid;
  if (found.share < kSmallestShare) return std::nullopt;
  found.box = BoxOf(cells, piece, image, margin);
  found.threshold = image.larger_is_darker ? -*threshold : *threshold;
  const double side = cells.side;
  found.right_of_image = ShareRightOf(cells, piece, image.columns / 2.0 / side);
  found.right_of_box = ShareRightOf(cells, piece, (found.box.left + found.box.right) / 2.0 / side);
  return found;
}

}  // namespace consilium::datasets::pipeline
