#include "datasets/synthetic/phantom_hospital.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "datasets/csv.h"
#include "datasets/parallel.h"
#include "datasets/synthetic/cohort.h"

namespace consilium::datasets::synthetic {
namespace {

constexpr std::string_view kStep = "drawing phantoms";

// Days since 1970 as DICOM writes dates.
std::string DateOf(std::int64_t day) {
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day))};
  return absl::StrFormat("%04d%02d%02d", static_cast<int>(date.year()),
                         static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

// One line of labels.csv an image.
absl::StatusOr<std::string> WritePatient(const PhantomHospital& hospital,
                                         const PhantomPatient& patient, std::uint64_t seed,
                                         const fs::path& folder, std::uint64_t* images) {
  std::string labels;
  for (const PhantomImage& image : DrawImagesOf(hospital, patient, seed)) {
    const fs::path series = folder / patient.id / image.series;
    RETURN_IF_ERROR(EnsureFolder(series));
    const fs::path path =
        series / StrCat(absl::Dec(image.instance.instance_number, absl::kZeroPad3), ".dcm");
    RETURN_IF_ERROR(dicom::WriteFile(path, image.instance));
    StrAppend(&labels, image.instance.sop_instance_uid, ",", image.finding ? 1 : 0, "\n");
    ++*images;
  }
  return labels;
}

}  // namespace

absl::StatusOr<PhantomHospital> PhantomPreset(PhantomKind kind, std::string_view name) {
  static constexpr std::string_view kNames[] = {"north", "south", "east"};
  static constexpr std::string_view kMakers[] = {"Aurora Phantoms", "Meridian Phantoms",
                                                 "Levant Phantoms"};
  static constexpr std::string_view kModels[] = {"North One", "South Two", "East Three"};
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) {
    return absl::InvalidArgumentError(
        StrCat("there is no hospital \"", name, "\"; north, south and east are there"));
  }
  const auto variant = static_cast<std::size_t>(found - std::begin(kNames));
  PhantomHospital hospital;
  hospital.kind = kind;
  hospital.name = std::string(name);
  hospital.machine = {static_cast<int>(variant), std::string(kMakers[variant]),
                      std::string(kModels[variant])};
  return hospital;
}

PhantomPatient DrawPhantomPatient(const PhantomHospital& hospital, std::uint32_t index,
                                  bool finding, std::uint64_t seed) {
  PhantomPatient patient;
  patient.id = PatientName(hospital.name, index);
  patient.origin = StrCat("phantom/", static_cast<int>(hospital.kind), "/", hospital.name, "/",
                          seed, "/", patient.id);
  SeededRandom random(seed, StrCat(hospital.name, "/", patient.id, "/person"));
  const bool woman = hospital.kind == PhantomKind::kMammography || random.Chance(0.52);
  patient.sex = woman ? "F" : "M";
  const double days_old = 365.25 * random.Uniform(woman ? 32 : 28, 88);
  patient.age_years = static_cast<int>(days_old / 365.25);
  patient.weight_kg = random.Uniform(48, woman ? 92 : 108);
  constexpr std::int64_t kFirstOf2021 = 18628;
  const auto study = kFirstOf2021 + static_cast<std::int64_t>(random.Below(1200));
  patient.study_date = DateOf(study);
  patient.birth_date = DateOf(study - static_cast<std::int64_t>(days_old));
  const auto minute = 8 * 60 + static_cast<int>(random.Below(9 * 60));
  patient.study_time = absl::StrFormat("%02d%02d00", minute / 60, minute % 60);
  patient.finding = finding;
  return patient;
}

std::vector<PhantomImage> DrawImagesOf(const PhantomHospital& hospital,
                                       const PhantomPatient& patient, std::uint64_t seed) {
  SeededRandom random(seed, StrCat(hospital.name, "/", patient.id));
  return DrawPhantom(hospital.kind, patient, hospital.machine, hospital.burned_in, random);
}

absl::StatusOr<SynthesisReport> SynthesizePhantoms(const PhantomHospital& hospital,
                                                   std::uint32_t patients, std::uint64_t seed,
                                                   const fs::path& folder, unsigned threads,
                                                   Progress& progress) {
  RETURN_IF_ERROR(MakeNewFolder(folder));
  const std::vector<bool> findings =
      SpreadFindings(hospital.name, patients, hospital.positive_fraction, seed);
  SynthesisReport report{patients, 0, 0};
  std::vector<std::string> labels(patients);
  std::mutex mutex;
  absl::Status failure;
  std::atomic<std::size_t> done = 0;
  const bool all = ParallelFor(patients, threads, [&](std::size_t i) {
    const auto index = static_cast<std::uint32_t>(i);
    std::uint64_t images = 0;
    auto lines = WritePatient(hospital, DrawPhantomPatient(hospital, index, findings[i], seed),
                              seed, folder, &images);
    progress.Report(kStep, ++done, patients);
    const std::lock_guard lock(mutex);
    if (!lines.ok()) {
      failure = lines.status();
      return false;
    }
    labels[i] = *std::move(lines);
    report.images += images;
    report.positives += findings[i];
    return !progress.Cancelled();
  });
  RETURN_IF_ERROR(failure);
  if (!all)
    return absl::CancelledError("drawing phantoms was interrupted; the folder is incomplete");
  std::string table = StrCat("sop_instance_uid,", Finding(hospital.kind), "\n");
  for (const std::string& lines : labels) table += lines;
  RETURN_IF_ERROR(WriteFileDurably(folder / "labels.csv", table, 0644));
  return report;
}

}  // namespace consilium::datasets::synthetic
