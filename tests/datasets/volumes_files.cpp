#include "tests/datasets/volumes_files.h"

#include <cmath>
#include <cstdio>

// DCMTK's configuration comes before its other headers.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include "tests/catch.h"

namespace consilium::datasets {
namespace {

using volumes::Grid;
using volumes::Vec3;

std::string Joined(const std::vector<double>& numbers) {
  std::string text;
  for (const double number : numbers) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.10g", number);
    text += (text.empty() ? "" : "\\") + std::string(digits);
  }
  return text;
}

std::string Position(const Grid& grid, std::uint32_t slice) {
  const Vec3 p = grid.ToPatient({0, 0, double(slice)});
  return Joined({p[0], p[1], p[2]});
}

std::string Orientation(const Grid& grid) {
  const auto& [row, column, normal] = grid.directions;
  return Joined({row[0], row[1], row[2], column[0], column[1], column[2]});
}

std::string Spacing(const Grid& grid) { return Joined({grid.spacing_mm[1], grid.spacing_mm[0]}); }

void PutCode(DcmItem& item, unsigned group, unsigned element, const std::string& value,
             const std::string& scheme, const std::string& meaning) {
  DcmItem& code = NewItem(item, group, element);
  Put(code, 0x0008, 0x0100, value);
  Put(code, 0x0008, 0x0102, scheme);
  Put(code, 0x0008, 0x0104, meaning);
}

void PutNumber(DcmItem& item, unsigned group, unsigned element, unsigned value) {
  const DcmTagKey key(static_cast<Uint16>(group), static_cast<Uint16>(element));
  REQUIRE(item.putAndInsertUint16(key, static_cast<Uint16>(value)).good());
}

void PutPixelModule(DcmItem& item, const Grid& grid, unsigned bits) {
  PutNumber(item, 0x0028, 0x0002, 1);
  Put(item, 0x0028, 0x0004, "MONOCHROME2");
  PutNumber(item, 0x0028, 0x0010, grid.size[1]);
  PutNumber(item, 0x0028, 0x0011, grid.size[0]);
  PutNumber(item, 0x0028, 0x0100, bits);
  PutNumber(item, 0x0028, 0x0101, bits);
  PutNumber(item, 0x0028, 0x0102, bits - 1);
  PutNumber(item, 0x0028, 0x0103, 0);
}

void PutInstance(DcmItem& item, const std::string& sop_class, const std::string& modality,
                 const std::string& series, const std::string& instance) {
  Put(item, 0x0008, 0x0016, sop_class);
  Put(item, 0x0008, 0x0018, instance);
  Put(item, 0x0008, 0x0060, modality);
  Put(item, 0x0010, 0x0020, "P1");
  Put(item, 0x0020, 0x000d, "1.2.826.2");
  Put(item, 0x0020, 0x000e, series);
  Put(item, 0x0020, 0x0052, kFrameOfReference);
}

void Save(DcmFileFormat& file, const fs::path& path, const Change& change) {
  if (change) change(*file.getDataset());
  REQUIRE(file.saveFile(path.c_str(), EXS_LittleEndianExplicit).good());
}

std::vector<Uint16> Stored(const Grid& grid, std::uint32_t slice) {
  std::vector<Uint16> values;
  for (std::uint32_t row = 0; row < grid.size[1]; ++row) {
    for (std::uint32_t column = 0; column < grid.size[0]; ++column) {
      values.push_back(static_cast<Uint16>(ValueAt(column, row, slice) + 1000));
    }
  }
  return values;
}

void PutPlane(DcmItem& groups, const Grid& grid, std::uint32_t slice) {
  Put(NewItem(groups, 0x0020, 0x9113), 0x0020, 0x0032, Position(grid, slice));
}

void PutSharedGeometry(DcmItem& image, const Grid& grid) {
  DcmItem& shared = NewItem(image, 0x5200, 0x9229);
  Put(NewItem(shared, 0x0020, 0x9116), 0x0020, 0x0037, Orientation(grid));
  Put(NewItem(shared, 0x0028, 0x9110), 0x0028, 0x0030, Spacing(grid));
}

DcmItem& NewContent(DcmItem& parent, const std::string& relation, const std::string& type) {
  DcmItem& item = NewItem(parent, 0x0040, 0xa730);
  Put(item, 0x0040, 0xa010, relation);
  Put(item, 0x0040, 0xa040, type);
  return item;
}

void PutCodeContent(DcmItem& parent, const std::string& name, const std::string& scheme,
                    const std::string& value) {
  DcmItem& item = NewContent(parent, "CONTAINS", "CODE");
  PutCode(item, 0x0040, 0xa043, name, scheme, "name");
  PutCode(item, 0x0040, 0xa168, value, "SCT", "value");
}

}  // namespace

Grid AsymmetricGrid(double tilt_degrees) {
  Grid grid;
  grid.size = {9, 7, 5};
  grid.spacing_mm = {0.75, 1.25, 2.5};
  const Vec3 row = {0.8, 0.6, 0}, column = {-0.36, 0.48, 0.8};
  const Vec3 normal = Cross(row, column);
  const double tilt = tilt_degrees * 3.14159265358979 / 180;
  grid.directions = {row, column, normal * std::cos(tilt) + column * std::sin(tilt)};
  grid.origin = {-31.5, 12.25, 107};
  return grid;
}

float ValueAt(std::uint32_t column, std::uint32_t row, std::uint32_t slice) {
  return static_cast<float>(column + 20 * row + 400 * slice);
}

volumes::Volume VolumeOf(const Grid& grid) {
  volumes::Volume volume{grid, {}, kFrameOfReference};
  for (std::uint32_t k = 0; k < grid.size[2]; ++k) {
    for (std::uint32_t j = 0; j < grid.size[1]; ++j) {
      for (std::uint32_t i = 0; i < grid.size[0]; ++i) volume.voxels.push_back(ValueAt(i, j, k));
    }
  }
  return volume;
}

void Put(DcmItem& item, unsigned group, unsigned element, const std::string& value) {
  const DcmTag tag(static_cast<Uint16>(group), static_cast<Uint16>(element));
  REQUIRE(item.putAndInsertOFStringArray(tag, OFString(value.c_str(), value.size())).good());
}

DcmItem& NewItem(DcmItem& item, unsigned group, unsigned element) {
  DcmItem* created = nullptr;
  const DcmTag tag(static_cast<Uint16>(group), static_cast<Uint16>(element));
  REQUIRE(item.findOrCreateSequenceItem(tag, created, -2).good());
  return *created;
}

void WriteSlice(const fs::path& path, const Grid& grid, std::uint32_t slice, int instance_number,
                const Change& change) {
  DcmFileFormat file;
  DcmDataset& image = *file.getDataset();
  PutInstance(image, UID_CTImageStorage, "CT", "1.2.826.3",
              "1.2.826.4." + std::to_string(instance_number));
  Put(image, 0x0020, 0x0013, std::to_string(instance_number));
  Put(image, 0x0020, 0x0032, Position(grid, slice));
  Put(image, 0x0020, 0x0037, Orientation(grid));
  Put(image, 0x0028, 0x0030, Spacing(grid));
  Put(image, 0x0028, 0x1052, "-1000");
  Put(image, 0x0028, 0x1053, "1");
  PutPixelModule(image, grid, 16);
  const std::vector<Uint16> values = Stored(grid, slice);
  REQUIRE(image.putAndInsertUint16Array(DCM_PixelData, values.data(), values.size()).good());
  Save(file, path, change);
}

void WriteSeries(const fs::path& folder, const Grid& grid, bool descending) {
  for (std::uint32_t k = 0; k < grid.size[2]; ++k) {
    const std::uint32_t number = descending ? grid.size[2] - k : k + 1;
    WriteSlice(folder / (std::to_string(number) + ".dcm"), grid, k, static_cast<int>(number));
  }
}

void WriteEnhanced(const fs::path& path, const Grid& grid, const std::vector<std::uint32_t>& frames,
                   const std::vector<double>& b_values) {
  DcmFileFormat file;
  DcmDataset& image = *file.getDataset();
  PutInstance(image, UID_EnhancedMRImageStorage, "MR", "1.2.826.5", "1.2.826.6");
  Put(image, 0x0028, 0x0008, std::to_string(frames.size()));
  PutPixelModule(image, grid, 16);
  PutSharedGeometry(image, grid);
  std::vector<Uint16> values;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    DcmItem& groups = NewItem(image, 0x5200, 0x9230);
    PutPlane(groups, grid, frames[i]);
    REQUIRE(NewItem(groups, 0x0018, 0x9117)
                .putAndInsertFloat64(DcmTagKey(0x0018, 0x9087), b_values[i])
                .good());
    DcmItem& transformation = NewItem(groups, 0x0028, 0x9145);
    Put(transformation, 0x0028, 0x1052, "-1000");
    Put(transformation, 0x0028, 0x1053, "1");
    const std::vector<Uint16> frame = Stored(grid, frames[i]);
    values.insert(values.end(), frame.begin(), frame.end());
  }
  REQUIRE(image.putAndInsertUint16Array(DCM_PixelData, values.data(), values.size()).good());
  Save(file, path, {});
}

void WriteSegmentation(const fs::path& path, const Grid& grid, const std::string& type,
                       const std::vector<SegFrame>& frames, int segments, const Change& change) {
  DcmFileFormat file;
  DcmDataset& image = *file.getDataset();
  PutInstance(image, UID_SegmentationStorage, "SEG", "1.2.826.7", "1.2.826.8");
  const bool binary = type == "BINARY";
  PutPixelModule(image, grid, binary ? 1 : 8);
  Put(image, 0x0028, 0x0008, std::to_string(frames.size()));
  Put(image, 0x0062, 0x0001, type);
  if (type == "FRACTIONAL") PutNumber(image, 0x0062, 0x000e, 200);
  for (int number = 1; number <= segments; ++number) {
    DcmItem& segment = NewItem(image, 0x0062, 0x0002);
    PutNumber(segment, 0x0062, 0x0004, static_cast<unsigned>(number));
    Put(segment, 0x0062, 0x0005, "segment " + std::to_string(number));
    Put(segment, 0x0062, 0x0008, "MANUAL");
    PutCode(segment, 0x0062, 0x0003, "123037004", "SCT", "Anatomical Structure");
    PutCode(segment, 0x0062, 0x000f, "10200004", "SCT", "Liver");
  }
  Put(NewItem(image, 0x0008, 0x1115), 0x0020, 0x000e, "1.2.826.3");
  PutSharedGeometry(image, grid);
  std::vector<Uint8> bytes;
  std::size_t bit = 0;
  for (const SegFrame& frame : frames) {
    DcmItem& groups = NewItem(image, 0x5200, 0x9230);
    PutPlane(groups, grid, frame.slice);
    if (type != "LABELMAP") {
      PutNumber(NewItem(groups, 0x0062, 0x000a), 0x0062, 0x000b,
                static_cast<unsigned>(frame.segment));
    }
    REQUIRE(frame.pixels.size() == grid.PlaneCount());
    for (const std::uint8_t pixel : frame.pixels) {
      if (!binary) {
        bytes.push_back(pixel);
        continue;
      }
      if (bit % 8 == 0) bytes.push_back(0);  // frames follow each other without padding
      bytes.back() = static_cast<Uint8>(bytes.back() | pixel << (bit++ % 8));
    }
  }
  if (bytes.size() % 2 != 0) bytes.push_back(0);
  REQUIRE(image.putAndInsertUint8Array(DCM_PixelData, bytes.data(), bytes.size()).good());
  Save(file, path, change);
}

void WriteStructureSet(const fs::path& path, const std::vector<DrawnContour>& contours,
                       const Change& change) {
  DcmFileFormat file;
  DcmDataset& set = *file.getDataset();
  PutInstance(set, UID_RTStructureSetStorage, "RTSTRUCT", "1.2.826.9", "1.2.826.10");
  DcmItem& study = NewItem(NewItem(set, 0x3006, 0x0010), 0x3006, 0x0012);
  Put(NewItem(study, 0x3006, 0x0014), 0x0020, 0x000e, "1.2.826.3");
  int regions = 0;
  for (const DrawnContour& contour : contours) regions = std::max(regions, contour.region);
  for (int number = 1; number <= regions; ++number) {
    DcmItem& region = NewItem(set, 0x3006, 0x0020);
    Put(region, 0x3006, 0x0022, std::to_string(number));
    Put(region, 0x3006, 0x0024, kFrameOfReference);
    Put(region, 0x3006, 0x0026, "region " + std::to_string(number));
    DcmItem& drawn = NewItem(set, 0x3006, 0x0039);
    Put(drawn, 0x3006, 0x0084, std::to_string(number));
    DcmItem& observation = NewItem(set, 0x3006, 0x0080);
    Put(observation, 0x3006, 0x0084, std::to_string(number));
    Put(observation, 0x3006, 0x00a4, "ORGAN");
    for (const DrawnContour& contour : contours) {
      if (contour.region != number) continue;
      DcmItem& item = NewItem(drawn, 0x3006, 0x0040);
      Put(item, 0x3006, 0x0042, contour.type);
      Put(item, 0x3006, 0x0046, std::to_string(contour.points.size()));
      std::vector<double> data;
      for (const Vec3& point : contour.points) data.insert(data.end(), point.begin(), point.end());
      Put(item, 0x3006, 0x0050, Joined(data));
    }
  }
  Save(file, path, change);
}

void WriteReport(const fs::path& path, const std::string& volume_ml, const Change& change) {
  DcmFileFormat file;
  DcmDataset& report = *file.getDataset();
  PutInstance(report, UID_Comprehensive3DSRStorage, "SR", "1.2.826.11", "1.2.826.12");
  Put(report, 0x0040, 0xa040, "CONTAINER");
  Put(report, 0x0040, 0xa491, "COMPLETE");
  PutCode(report, 0x0040, 0xa043, "126000", "DCM", "Imaging Measurement Report");
  DcmItem& measurements = NewContent(report, "CONTAINS", "CONTAINER");
  PutCode(measurements, 0x0040, 0xa043, "126010", "DCM", "Imaging Measurements");
  DcmItem& group = NewContent(measurements, "CONTAINS", "CONTAINER");
  PutCode(group, 0x0040, 0xa043, "125007", "DCM", "Measurement Group");
  DcmItem& identifier = NewContent(group, "HAS OBS CONTEXT", "TEXT");
  PutCode(identifier, 0x0040, 0xa043, "112039", "DCM", "Tracking Identifier");
  Put(identifier, 0x0040, 0xa160, "lesion 7");
  DcmItem& uid = NewContent(group, "HAS OBS CONTEXT", "UIDREF");
  PutCode(uid, 0x0040, 0xa043, "112040", "DCM", "Tracking Unique Identifier");
  Put(uid, 0x0040, 0xa124, "1.2.826.13");
  PutCodeContent(group, "121071", "DCM", "4147007");       // finding: mass
  PutCodeContent(group, "363698007", "SCT", "10200004");   // in the liver
  PutCodeContent(group, "129737002", "SCT", "129742005");  // margins: spiculated
  DcmItem& segment = NewContent(group, "CONTAINS", "IMAGE");
  PutCode(segment, 0x0040, 0xa043, "121191", "DCM", "Referenced Segment");
  DcmItem& sop = NewItem(segment, 0x0008, 0x1199);
  Put(sop, 0x0008, 0x1150, UID_SegmentationStorage);
  Put(sop, 0x0008, 0x1155, "1.2.826.8");
  PutNumber(sop, 0x0062, 0x000b, 2);
  DcmItem& number = NewContent(group, "CONTAINS", "NUM");
  PutCode(number, 0x0040, 0xa043, "118565006", "SCT", "Volume");
  DcmItem& value = NewItem(number, 0x0040, 0xa300);
  PutCode(value, 0x0040, 0x08ea, "ml", "UCUM", "milliliter");
  Put(value, 0x0040, 0xa30a, volume_ml);
  PutCodeContent(number, "370129005", "SCT", "12345");
  Save(file, path, change);
}

}  // namespace consilium::datasets
