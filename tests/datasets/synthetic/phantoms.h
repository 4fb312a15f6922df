#pragma once

// Phantoms for tests: drawn, written and read again.

#include <string_view>
#include <vector>

#include "datasets/dicom/image_file.h"
#include "datasets/synthetic/phantom_hospital.h"
#include "tests/catch.h"

namespace consilium::datasets {

inline constexpr std::uint64_t kPhantomSeed = 7;

inline synthetic::PhantomHospital HospitalOf(std::string_view kind,
                                             std::string_view name = "north") {
  auto hospital = synthetic::PhantomPreset(*synthetic::PhantomKindNamed(kind), name);
  REQUIRE(hospital.ok());
  return *hospital;
}

// All images of the hospital's patient of this number.
inline std::vector<synthetic::PhantomImage> Draw(const synthetic::PhantomHospital& hospital,
                                                 bool finding, std::uint32_t patient = 0) {
  return DrawImagesOf(hospital, DrawPhantomPatient(hospital, patient, finding, kPhantomSeed),
                      kPhantomSeed);
}

// The first image in which the finding is to be seen, and is large.
inline const synthetic::PhantomImage& WithFinding(
    const std::vector<synthetic::PhantomImage>& images) {
  const synthetic::PhantomImage* largest = nullptr;
  for (const auto& image : images) {
    if (image.finding && (largest == nullptr || image.radius > largest->radius)) largest = &image;
  }
  REQUIRE(largest != nullptr);
  return *largest;
}

inline dicom::ImageFile WriteAndOpen(const dicom::NewInstance& instance, const fs::path& path) {
  const auto written = dicom::WriteFile(path, instance);
  INFO(std::string(written.message()));
  REQUIRE(written.ok());
  auto file = dicom::ImageFile::Open(path);
  REQUIRE(file.ok());
  return *std::move(file);
}

}  // namespace consilium::datasets
