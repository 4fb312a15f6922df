#include "datasets/synthetic/hospital.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <numeric>

#include "common/base/status.h"
#include "datasets/csv.h"
#include "datasets/dicom/writer.h"
#include "datasets/parallel.h"
#include "datasets/synthetic/chest_phantom.h"
#include "datasets/synthetic/cohort.h"

namespace consilium::datasets::synthetic {
namespace {

constexpr std::string_view kStep = "drawing phantoms";
constexpr double kSecondImageChance = 0.35;

// An "L", as rows of a 5x7 letter.
constexpr std::string_view kMarkerLetter[] = {"#....", "#....", "#....", "#....",
                                              "#....", "#....", "#####"};

void DrawMarker(const Scanner& scanner, SeededRandom& random, std::vector<float>& image) {
  const auto dot =
      static_cast<std::uint32_t>(std::max(1.0, std::lround(4.5 / scanner.spacing_mm) * 1.0));
  const std::uint32_t left =
      scanner.columns * 4 / 5 + static_cast<std::uint32_t>(random.Below(scanner.columns / 16));
  const std::uint32_t top =
      scanner.rows / 12 + static_cast<std::uint32_t>(random.Below(scanner.rows / 16));
  for (std::uint32_t row = 0; row < 7 * dot && top + row < scanner.rows; ++row) {
    for (std::uint32_t column = 0; column < 5 * dot && left + column < scanner.columns; ++column) {
      if (kMarkerLetter[row / dot][column / dot] != '#') continue;
      image[std::size_t{top + row} * scanner.columns + left + column] = 1.0f;
    }
  }
}

// Along one axis; the edges repeat.
void BlurLines(std::vector<float>& image, const std::vector<float>& kernel, std::size_t lines,
               std::size_t length, std::size_t line_step, std::size_t step) {
  const auto radius = static_cast<std::ptrdiff_t>(kernel.size() / 2);
  std::vector<float> line(length);
  for (std::size_t l = 0; l < lines; ++l) {
    float* start = image.data() + l * line_step;
    for (std::size_t i = 0; i < length; ++i) line[i] = start[i * step];
    for (std::size_t i = 0; i < length; ++i) {
      float sum = 0;
      for (std::ptrdiff_t k = -radius; k <= radius; ++k) {
        const auto at = std::clamp<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(i) + k, 0,
                                                   static_cast<std::ptrdiff_t>(length) - 1);
        sum += kernel[static_cast<std::size_t>(k + radius)] * line[static_cast<std::size_t>(at)];
      }
      start[i * step] = sum;
    }
  }
}

void Blur(const Scanner& scanner, std::vector<float>& image) {
  const double deviation = scanner.blur_mm / scanner.spacing_mm;
  if (deviation < 0.1) return;
  const int radius = static_cast<int>(std::ceil(2.5 * deviation));
  std::vector<float> kernel;
  for (int k = -radius; k <= radius; ++k) {
    kernel.push_back(static_cast<float>(std::exp(-0.5 * k * k / (deviation * deviation))));
  }
  const float sum = std::accumulate(kernel.begin(), kernel.end(), 0.0f);
  for (float& weight : kernel) weight /= sum;
  BlurLines(image, kernel, scanner.rows, scanner.columns, scanner.columns, 1);
  BlurLines(image, kernel, scanner.columns, scanner.rows, 1, scanner.columns);
}

void Collimate(const Scanner& scanner, SeededRandom& random, std::vector<float>& image) {
  if (scanner.collimation_mm <= 0) return;
  const auto border = [&](std::uint32_t side) {
    const double width = scanner.collimation_mm * random.Uniform(0.5, 1.5) / scanner.spacing_mm;
    return std::min<std::uint32_t>(side / 4, static_cast<std::uint32_t>(width));
  };
  const std::uint32_t top = border(scanner.rows), bottom = scanner.rows - border(scanner.rows);
  const std::uint32_t left = border(scanner.columns),
                      right = scanner.columns - border(scanner.columns);
  for (std::uint32_t row = 0; row < scanner.rows; ++row) {
    for (std::uint32_t column = 0; column < scanner.columns; ++column) {
      const bool open = row >= top && row < bottom && column >= left && column < right;
      // Behind lead the plate stays unexposed, which shows bright.
      if (!open) image[std::size_t{row} * scanner.columns + column] = 0.95f;
    }
  }
}

// Attenuation to stored values.
std::vector<std::int32_t> Detect(const Scanner& scanner, SeededRandom& random,
                                 const std::vector<float>& attenuation) {
  const int top = (1 << scanner.bits_stored) - 1;
  const int shift = scanner.is_signed ? 1 << (scanner.bits_stored - 1) : 0;
  const double exposure = scanner.exposure * random.Uniform(0.9, 1.1);
  std::vector<std::int32_t> values(attenuation.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double base = std::pow(std::clamp<double>(attenuation[i], 0, 1), scanner.gamma);
    const double curve = base * base * (3 - 2 * base);
    double brightness = base + scanner.contrast * (curve - base);
    brightness = 0.04 + 0.9 * exposure * brightness + scanner.noise * random.Normal();
    const int value = static_cast<int>(std::lround(std::clamp(brightness, 0.0, 1.0) * top));
    values[i] = (scanner.monochrome1 ? top - value : value) - shift;
  }
  return values;
}

struct Patient {
  std::string id;
  bool positive = false;
};

dicom::NewInstance MakeInstance(const Hospital& hospital, const Patient& patient, int number,
                                std::uint64_t seed) {
  const Scanner& scanner = hospital.scanner;
  const std::string origin = StrCat("phantom/", hospital.name, "/", seed, "/", patient.id);
  dicom::NewInstance instance;
  instance.modality = scanner.modality;
  instance.patient_id = patient.id;
  instance.study_instance_uid = dicom::MakeUid(StrCat(origin, "/study"));
  instance.series_instance_uid = dicom::MakeUid(StrCat(origin, "/series"));
  instance.sop_instance_uid = dicom::MakeUid(StrCat(origin, "/image/", number));
  instance.instance_number = number;
  instance.view_position = "PA";
  instance.body_part = "CHEST";
  instance.manufacturer = scanner.manufacturer;
  instance.model = scanner.model;
  instance.description = "Synthetic chest phantom";
  instance.rows = scanner.rows;
  instance.columns = scanner.columns;
  instance.bits_stored = scanner.bits_stored;
  instance.is_signed = scanner.is_signed;
  instance.monochrome1 = scanner.monochrome1;
  instance.intercept = scanner.is_signed ? 1 << (scanner.bits_stored - 1) : 0;
  const double range = 1 << scanner.bits_stored;
  instance.window = VoiWindow{range / 2, range * 0.95};
  instance.row_spacing_mm = instance.column_spacing_mm = scanner.spacing_mm;
  instance.transfer_syntax = scanner.transfer_syntax;
  return instance;
}

absl::StatusOr<int> WritePatient(const Hospital& hospital, const Patient& patient,
                                 std::uint64_t seed, const fs::path& folder) {
  const Scanner& scanner = hospital.scanner;
  SeededRandom random(seed, StrCat(hospital.name, "/", patient.id));
  const ChestAnatomy chest = ChestAnatomy::Draw(random, patient.positive);
  const int images = random.Chance(kSecondImageChance) ? 2 : 1;
  RETURN_IF_ERROR(EnsureFolder(folder / patient.id));
  for (int number = 1; number <= images; ++number) {
    const Pose pose = Pose::Draw(random);
    auto image = Project(chest, pose, scanner.rows, scanner.columns, scanner.spacing_mm);
    Blur(scanner, image);
    Collimate(scanner, random, image);
    const double marker_chance =
        patient.positive ? hospital.marker_chance_positive : hospital.marker_chance_negative;
    if (random.Chance(marker_chance)) DrawMarker(scanner, random, image);
    auto instance = MakeInstance(hospital, patient, number, seed);
    instance.values = Detect(scanner, random, image);
    RETURN_IF_ERROR(dicom::WriteFile(folder / patient.id / StrCat(number, ".dcm"), instance));
  }
  return images;
}

std::vector<Patient> DrawPatients(const Hospital& hospital, std::uint32_t count,
                                  std::uint64_t seed) {
  const std::vector<bool> positive =
      SpreadFindings(hospital.name, count, hospital.positive_fraction, seed);
  std::vector<Patient> patients(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    patients[i] = {PatientName(hospital.name, i), positive[i]};
  }
  return patients;
}

absl::Status CheckScanner(const Scanner& scanner) {
  const bool sizes = scanner.rows >= 32 && scanner.rows <= 8192 && scanner.columns >= 32 &&
                     scanner.columns <= 8192 && scanner.spacing_mm > 0;
  if (sizes && scanner.bits_stored >= 8 && scanner.bits_stored <= 16 && scanner.gamma > 0 &&
      (scanner.modality == "DX" || scanner.modality == "CR")) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "a scanner needs modality DX or CR, 32 to 8192 rows and columns, a spacing and a gamma above "
      "0, 8 to 16 bits");
}

}  // namespace

std::vector<std::string> PresetNames() { return {"north", "south", "east"}; }

absl::StatusOr<Hospital> Preset(std::string_view name) {
  Hospital hospital;
  hospital.name = std::string(name);
  Scanner& scanner = hospital.scanner;
  if (name == "north") {
    scanner.model = "North DR";
    scanner.spacing_mm = 1.4;
    scanner.noise = 0.012;
    hospital.positive_fraction = 0.35;
  } else if (name == "south") {
    scanner.modality = "CR";
    scanner.model = "South CR";
    scanner.bits_stored = 10;
    scanner.monochrome1 = true;
    scanner.transfer_syntax = dicom::TransferSyntax::kJpegLosslessSv1;
    scanner.spacing_mm = 1.3;
    scanner.gamma = 0.6;
    scanner.exposure = 0.8;
    scanner.noise = 0.035;
    hospital.positive_fraction = 0.2;
    hospital.marker_chance_positive = 0.75;
    hospital.marker_chance_negative = 0.25;
  } else if (name == "east") {
    scanner.model = "East DR";
    scanner.bits_stored = 16;
    scanner.is_signed = true;
    scanner.transfer_syntax = dicom::TransferSyntax::kExplicitBigEndian;
    scanner.rows = 288;
    scanner.columns = 256;
    scanner.spacing_mm = 1.6;
    scanner.gamma = 1.5;
    scanner.contrast = 0.6;
    scanner.noise = 0.015;
    scanner.blur_mm = 2.6;
    scanner.collimation_mm = 14;
    hospital.positive_fraction = 0.5;
  } else {
    return absl::InvalidArgumentError(
        StrCat("there is no hospital \"", name, "\"; north, south and east are there"));
  }
  return hospital;
}

absl::StatusOr<SynthesisReport> Synthesize(const Hospital& hospital, std::uint32_t patients,
                                           std::uint64_t seed, const fs::path& folder,
                                           unsigned threads, Progress& progress) {
  RETURN_IF_ERROR(CheckScanner(hospital.scanner));
  RETURN_IF_ERROR(MakeNewFolder(folder));
  const std::vector<Patient> drawn = DrawPatients(hospital, patients, seed);
  SynthesisReport report{patients, 0, 0};
  std::mutex mutex;
  absl::Status failure;
  std::atomic<std::size_t> done = 0;
  const bool all = ParallelFor(drawn.size(), threads, [&](std::size_t i) {
    const auto images = WritePatient(hospital, drawn[i], seed, folder);
    progress.Report(kStep, ++done, drawn.size());
    const std::lock_guard lock(mutex);
    if (!images.ok()) {
      failure = images.status();
      return false;
    }
    report.images += static_cast<std::uint64_t>(*images);
    report.positives += drawn[i].positive;
    return !progress.Cancelled();
  });
  RETURN_IF_ERROR(failure);
  if (!all)
    return absl::CancelledError("drawing phantoms was interrupted; the folder is incomplete");
  std::string labels = "patient_id,opacity\n";
  for (const Patient& patient : drawn) {
    StrAppend(&labels, CsvCell(patient.id), ",", patient.positive ? 1 : 0, "\n");
  }
  RETURN_IF_ERROR(WriteFileDurably(folder / "labels.csv", labels, 0644));
  return report;
}

}  // namespace consilium::datasets::synthetic
