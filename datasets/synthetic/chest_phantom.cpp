#include "datasets/synthetic/chest_phantom.h"

#include <algorithm>
#include <cmath>

namespace consilium::datasets::synthetic {
namespace {

// 1 where `inside` is above `softness`, 0 below 0, smooth between.
float SmoothStep(float inside, float softness) {
  const float t = std::clamp(inside / softness, 0.0f, 1.0f);
  return t * t * (3 - 2 * t);
}

// Above 0 inside the ellipse around (0, 0), 1 in its middle.
float Ellipse(float x, float y, double half_width, double half_height) {
  const float u = x / static_cast<float>(half_width), v = y / static_cast<float>(half_height);
  return 1 - (u * u + v * v);
}

Shadow InLung(SeededRandom& random, const ChestAnatomy& chest, double radius_mm, double density) {
  const double side = random.Chance(0.5) ? 1 : -1;
  const double angle = random.Uniform(0, 6.283185), reach = std::sqrt(random.Uniform()) * 0.7;
  return {side * (chest.lung_gap_mm + chest.lung_width_mm) +
              reach * chest.lung_width_mm * std::cos(angle),
          chest.lung_top_mm + chest.lung_height_mm + reach * chest.lung_height_mm * std::sin(angle),
          radius_mm, density};
}

// A nodule: one small dense shadow. A consolidation: a patch of several faint ones.
std::vector<Shadow> DrawOpacity(SeededRandom& random, const ChestAnatomy& chest) {
  if (random.Chance(0.3)) {
    return {InLung(random, chest, random.Uniform(22, 36), random.Uniform(0.28, 0.45))};
  }
  const Shadow centre = InLung(random, chest, random.Uniform(34, 54), random.Uniform(0.14, 0.34));
  std::vector<Shadow> patch = {centre};
  const int count = 3 + static_cast<int>(random.Below(4));
  for (int i = 0; i < count; ++i) {
    patch.push_back({centre.x_mm + random.Normal() * 15, centre.y_mm + random.Normal() * 20,
                     random.Uniform(16, 30), centre.density * random.Uniform(0.3, 0.9)});
  }
  return patch;
}

// Smooth noise of deviation about 1: a coarse grid of normal numbers, interpolated.
class Texture {
 public:
  Texture(std::uint64_t seed, double cell_mm) : cell_mm_(cell_mm) {
    SeededRandom random(seed, "texture");
    for (float& value : grid_) value = static_cast<float>(random.Normal());
  }
  float At(float x_mm, float y_mm) const {
    const float x = x_mm / static_cast<float>(cell_mm_) + kSide / 2.0f;
    const float y = y_mm / static_cast<float>(cell_mm_) + kSide / 2.0f;
    const int i = std::clamp(static_cast<int>(x), 0, kSide - 2);
    const int j = std::clamp(static_cast<int>(y), 0, kSide - 2);
    const float u = std::clamp(x - static_cast<float>(i), 0.0f, 1.0f);
    const float v = std::clamp(y - static_cast<float>(j), 0.0f, 1.0f);
    const float* p = grid_ + j * kSide + i;
    return (p[0] * (1 - u) + p[1] * u) * (1 - v) + (p[kSide] * (1 - u) + p[kSide + 1] * u) * v;
  }

 private:
  static constexpr int kSide = 48;
  float grid_[kSide * kSide];
  double cell_mm_;
};

float Sum(const std::vector<Shadow>& shadows, float x, float y) {
  float sum = 0;
  for (const Shadow& shadow : shadows) {
    const float inside =
        Ellipse(x - static_cast<float>(shadow.x_mm), y - static_cast<float>(shadow.y_mm),
                shadow.radius_mm, shadow.radius_mm);
    if (inside > 0) sum += static_cast<float>(shadow.density) * SmoothStep(inside, 0.8f);
  }
  return sum;
}

float Ribs(const ChestAnatomy& c, float x, float y) {
  const float away = std::abs(x) / static_cast<float>(c.lung_width_mm);
  const float fall = static_cast<float>(c.rib_slope) * (away - 0.5f * away * away);
  const float order =
      (y - fall) / static_cast<float>(c.rib_spacing_mm) + static_cast<float>(c.rib_phase);
  const float distance = std::abs(order - std::round(order));  // 0 on a rib, 0.5 between
  return static_cast<float>(c.rib_density) * SmoothStep(0.24f - distance, 0.12f);
}

// Attenuation at a point of the chest's own coordinates.
float Attenuation(const ChestAnatomy& c, const Texture& texture, float x, float y) {
  const float body = SmoothStep(Ellipse(x, y - 40, c.body_width_mm, c.body_height_mm), 0.25f);
  if (body <= 0) return 0;
  const float lung_x = std::abs(x) - static_cast<float>(c.lung_gap_mm + c.lung_width_mm);
  const float lung_y = y - static_cast<float>(c.lung_top_mm + c.lung_height_mm);
  // Flat at the diaphragm, pointed at the apex.
  const double height = lung_y > 0 ? c.lung_height_mm * 0.9 : c.lung_height_mm * 1.1;
  const float lung = SmoothStep(Ellipse(lung_x, lung_y, c.lung_width_mm, height), 0.3f);
  const auto heart_x = x - static_cast<float>(c.heart_shift_mm);
  const float heart =
      SmoothStep(Ellipse(heart_x, y - 58, c.heart_radius_mm, c.heart_radius_mm * 0.95), 0.35f);
  const float spine = SmoothStep(1 - std::abs(x) / static_cast<float>(c.spine_width_mm), 0.6f);
  float sum = static_cast<float>(c.body_density) * body;
  sum -= static_cast<float>(c.lung_air) * lung * (1 - 0.85f * heart);
  sum += static_cast<float>(c.heart_density) * heart;
  sum += static_cast<float>(c.spine_density) * spine * body;
  sum += Ribs(c, x, y) *
         SmoothStep(Ellipse(x, y - 30, c.body_width_mm * 0.9, c.body_height_mm * 0.7), 0.2f);
  if (lung > 0) sum += lung * (Sum(c.vessels, x, y) + Sum(c.opacity, x, y));
  return sum + 0.018f * body * texture.At(x, y);
}

}  // namespace

ChestAnatomy ChestAnatomy::Draw(SeededRandom& random, bool with_opacity) {
  ChestAnatomy c{};
  c.body_width_mm = random.Uniform(138, 168);
  c.body_height_mm = random.Uniform(200, 235);
  c.body_density = random.Uniform(0.54, 0.66);
  c.lung_width_mm = random.Uniform(44, 56);
  c.lung_height_mm = random.Uniform(88, 112);
  c.lung_gap_mm = random.Uniform(12, 20);
  c.lung_top_mm = random.Uniform(-118, -98);
  c.lung_air = random.Uniform(0.34, 0.44);
  c.heart_radius_mm = random.Uniform(46, 66);
  c.heart_shift_mm = random.Uniform(14, 28);  // to the patient's left, on the right of the image
  c.heart_density = random.Uniform(0.10, 0.18);
  c.spine_width_mm = random.Uniform(13, 19);
  c.spine_density = random.Uniform(0.08, 0.15);
  c.rib_spacing_mm = random.Uniform(21, 27);
  c.rib_density = random.Uniform(0.03, 0.06);
  c.rib_slope = random.Uniform(24, 46);
  c.rib_phase = random.Uniform();
  c.texture_seed = random();
  const int vessels = 4 + static_cast<int>(random.Below(6));
  for (int i = 0; i < vessels; ++i) {
    Shadow vessel = InLung(random, c, random.Uniform(5, 12), random.Uniform(0.03, 0.09));
    vessel.x_mm *= random.Uniform(0.6, 1.0);  // denser towards the hilum
    c.vessels.push_back(vessel);
  }
  if (with_opacity) c.opacity = DrawOpacity(random, c);
  return c;
}

Pose Pose::Draw(SeededRandom& random) {
  return {random.Uniform(-9, 9), random.Uniform(-9, 9), random.Uniform(-0.05, 0.05),
          random.Uniform(0.95, 1.05)};
}

std::vector<float> Project(const ChestAnatomy& chest, const Pose& pose, std::uint32_t rows,
                           std::uint32_t columns, double spacing_mm) {
  const Texture texture(chest.texture_seed, 9);
  const auto cosine = static_cast<float>(std::cos(pose.turn) / pose.zoom);
  const auto sine = static_cast<float>(std::sin(pose.turn) / pose.zoom);
  std::vector<float> image(std::size_t{rows} * columns);
  for (std::uint32_t row = 0; row < rows; ++row) {
    const auto v = static_cast<float>((row + 0.5 - rows / 2.0) * spacing_mm - pose.shift_y_mm);
    for (std::uint32_t column = 0; column < columns; ++column) {
      const auto u =
          static_cast<float>((column + 0.5 - columns / 2.0) * spacing_mm - pose.shift_x_mm);
      image[std::size_t{row} * columns + column] =
          Attenuation(chest, texture, cosine * u + sine * v, cosine * v - sine * u);
    }
  }
  return image;
}

}  // namespace consilium::datasets::synthetic
