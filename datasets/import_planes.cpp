// Reading PNG, JPEG and NIfTI.

#include <nifti1_io.h>
#include <png.h>
#include <strings.h>

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <memory>
// jpeglib.h takes std::FILE and size_t for given.
#include <jpeglib.h>

#include "common/base/status.h"
#include "datasets/import.h"

namespace consilium::datasets {
namespace {

constexpr std::uint64_t kMostPixels = 128ull << 20;
constexpr std::uint64_t kMostFileBytes = 1ull << 30;
// What a byte of a file can stand for at best, so that a small one cannot ask for much memory:
// bytes of a deflate stream (PNG, .nii.gz); pixels of a JPEG, a bit for each block of 8x8.
constexpr std::uint64_t kMostDeflateExpansion = 1032, kMostPixelsAJpegByte = 8 * 64;

absl::Status Bad(const fs::path& path, std::string_view what) {
  return absl::InvalidArgumentError(StrCat("\"", path.filename().string(), "\": ", what));
}

template <class Sample>
absl::StatusOr<Plane> TakeColour(const fs::path& path, const Sample* samples, std::uint32_t rows,
                                 std::uint32_t columns, int channels) {
  if (channels != 3 || sizeof(Sample) != 1) {
    return Bad(path, StrCat("has ", channels, " channel(s) of ", 8 * sizeof(Sample),
                            " bits; colour is three of 8 bits"));
  }
  Plane plane{rows, columns, {}, 8};
  plane.samples = 3;
  plane.values.assign(samples, samples + std::size_t{3} * rows * columns);
  return plane;
}

// Interleaved samples to one plane.
template <class Sample>
absl::StatusOr<Plane> TakeChannel(const fs::path& path, const Sample* samples, std::uint32_t rows,
                                  std::uint32_t columns, int channels, const PlaneChoice& choice) {
  if (choice.colour) return TakeColour(path, samples, rows, columns, channels);
  if (choice.channel >= channels) {
    return Bad(path, StrCat("has ", channels, " channel(s), so there is no channel ",
                            choice.channel, " (they count from 0)"));
  }
  Plane plane{rows, columns, {}, static_cast<int>(8 * sizeof(Sample))};
  plane.values.resize(std::size_t{rows} * columns);
  for (std::size_t i = 0; i < plane.values.size(); ++i) {
    const Sample* p = samples + i * static_cast<std::size_t>(channels);
    if (choice.channel >= 0 || channels < 3) {
      plane.values[i] = p[std::max(0, choice.channel)];
    } else {
      plane.values[i] = std::round(0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2]);
    }
  }
  return plane;
}

// libpng and libjpeg report errors by longjmp: nothing that needs a destructor may be made between
// setjmp and the calls.
struct PngReader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::FILE* file = nullptr;
  ~PngReader() {
    png_destroy_read_struct(&png, &info, nullptr);
    if (file != nullptr) std::fclose(file);
  }
};

void StayQuiet(png_structp, png_const_charp) {}
[[noreturn]] void Escape(png_structp png, png_const_charp) { png_longjmp(png, 1); }

absl::StatusOr<Plane> ReadPng(const fs::path& path, std::uint64_t file_bytes,
                              const PlaneChoice& choice) {
  PngReader reader;
  reader.file = std::fopen(path.c_str(), "rb");
  if (reader.file == nullptr) return Bad(path, "cannot be opened");
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, Escape, StayQuiet);
  reader.info = reader.png == nullptr ? nullptr : png_create_info_struct(reader.png);
  if (reader.info == nullptr) return absl::ResourceExhaustedError("no memory to read a PNG file");
  std::vector<std::uint8_t> samples;
  std::vector<png_bytep> lines;
  if (setjmp(png_jmpbuf(reader.png)) != 0) return Bad(path, "is not a sound PNG file");
  png_init_io(reader.png, reader.file);
  png_read_info(reader.png, reader.info);
  const std::uint32_t rows = png_get_image_height(reader.png, reader.info);
  const std::uint32_t columns = png_get_image_width(reader.png, reader.info);
  if (std::uint64_t{rows} * columns > kMostPixels) return Bad(path, "is too large");
  // As they are stored: palettes and few bits become more bytes only afterwards.
  if (rows * std::uint64_t{png_get_rowbytes(reader.png, reader.info)} >
      file_bytes * kMostDeflateExpansion) {
    return Bad(path, "is cut short");
  }
  png_set_palette_to_rgb(reader.png);
  png_set_expand_gray_1_2_4_to_8(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_swap(reader.png);  // 16-bit samples in the order of this machine
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  const int channels = png_get_channels(reader.png, reader.info);
  const bool wide = png_get_bit_depth(reader.png, reader.info) == 16;
  const std::size_t line_bytes = png_get_rowbytes(reader.png, reader.info);
  samples.resize(line_bytes * rows);
  lines.resize(rows);
  for (std::uint32_t row = 0; row < rows; ++row) lines[row] = samples.data() + row * line_bytes;
  png_read_image(reader.png, lines.data());
  if (wide) {
    return TakeChannel(path, reinterpret_cast<const std::uint16_t*>(samples.data()), rows, columns,
                       channels, choice);
  }
  return TakeChannel(path, samples.data(), rows, columns, channels, choice);
}

struct JpegErrors {
  jpeg_error_mgr base;  // first: libjpeg hands back a pointer to it
  std::jmp_buf escape;
};

struct JpegReader {
  jpeg_decompress_struct jpeg{};
  JpegErrors errors{};
  std::FILE* file = nullptr;
  ~JpegReader() {
    jpeg_destroy_decompress(&jpeg);
    if (file != nullptr) std::fclose(file);
  }
};

absl::StatusOr<Plane> ReadJpeg(const fs::path& path, std::uint64_t file_bytes,
                               const PlaneChoice& choice) {
  JpegReader reader;
  reader.file = std::fopen(path.c_str(), "rb");
  if (reader.file == nullptr) return Bad(path, "cannot be opened");
  reader.jpeg.err = jpeg_std_error(&reader.errors.base);
  reader.errors.base.error_exit = [](j_common_ptr jpeg) {
    std::longjmp(reinterpret_cast<JpegErrors*>(jpeg->err)->escape, 1);
  };
  reader.errors.base.emit_message = [](j_common_ptr, int) {};
  std::vector<std::uint8_t> samples;
  if (setjmp(reader.errors.escape) != 0) return Bad(path, "is not a sound JPEG file");
  jpeg_create_decompress(&reader.jpeg);
  jpeg_stdio_src(&reader.jpeg, reader.file);
  jpeg_read_header(&reader.jpeg, TRUE);
  const bool grey = reader.jpeg.num_components == 1;
  reader.jpeg.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
  const auto pixels = std::uint64_t{reader.jpeg.image_height} * reader.jpeg.image_width;
  if (pixels > kMostPixels) return Bad(path, "is too large");
  if (pixels > file_bytes * kMostPixelsAJpegByte) return Bad(path, "is cut short");
  jpeg_start_decompress(&reader.jpeg);
  const std::size_t line_bytes = std::size_t{reader.jpeg.output_width} *
                                 static_cast<std::size_t>(reader.jpeg.output_components);
  samples.resize(line_bytes * reader.jpeg.output_height);
  while (reader.jpeg.output_scanline < reader.jpeg.output_height) {
    std::uint8_t* line = samples.data() + reader.jpeg.output_scanline * line_bytes;
    jpeg_read_scanlines(&reader.jpeg, &line, 1);
  }
  const std::uint32_t rows = reader.jpeg.output_height, columns = reader.jpeg.output_width;
  const int channels = reader.jpeg.output_components;
  jpeg_finish_decompress(&reader.jpeg);
  return TakeChannel(path, samples.data(), rows, columns, channels, choice);
}

struct NiftiFree {
  void operator()(nifti_image* image) const { nifti_image_free(image); }
};

// One voxel as a number, after scl_slope and scl_inter; NaN when the data type is not real.
double Voxel(const nifti_image& image, std::size_t i) {
  double value = std::nan("");
  switch (image.datatype) {
    case NIFTI_TYPE_UINT8:
      value = static_cast<const std::uint8_t*>(image.data)[i];
      break;
    case NIFTI_TYPE_INT8:
      value = static_cast<const std::int8_t*>(image.data)[i];
      break;
    case NIFTI_TYPE_UINT16:
      value = static_cast<const std::uint16_t*>(image.data)[i];
      break;
    case NIFTI_TYPE_INT16:
      value = static_cast<const std::int16_t*>(image.data)[i];
      break;
    case NIFTI_TYPE_UINT32:
      value = static_cast<const std::uint32_t*>(image.data)[i];
      break;
    case NIFTI_TYPE_INT32:
      value = static_cast<const std::int32_t*>(image.data)[i];
      break;
    case NIFTI_TYPE_FLOAT32:
      value = static_cast<const float*>(image.data)[i];
      break;
    case NIFTI_TYPE_FLOAT64:
      value = static_cast<const double*>(image.data)[i];
      break;
    default:
      break;
  }
  return image.scl_slope != 0 ? value * image.scl_slope + image.scl_inter : value;
}

absl::StatusOr<Plane> ReadNifti(const fs::path& path, std::uint64_t file_bytes,
                                const PlaneChoice& choice) {
  if (choice.colour) return Bad(path, "a NIfTI volume has no colour");
  nifti_set_debug_level(0);
  std::unique_ptr<nifti_image, NiftiFree> image(nifti_image_read(path.c_str(), 0));
  if (image == nullptr) return Bad(path, "is not a sound NIfTI file");
  const std::int64_t columns = image->nx, rows = image->ny,
                     slices = std::max<std::int64_t>(1, image->nz);
  if (columns < 1 || rows < 1 || columns > 65535 || rows > 65535 ||
      static_cast<std::uint64_t>(image->nvox) > kMostPixels) {
    return Bad(path, "has impossible sizes");
  }
  // niftilib multiplies all dimensions, and the product may overflow.
  if (image->nvox < static_cast<std::size_t>(columns * rows * slices)) {
    return Bad(path, "has impossible sizes");
  }
  const bool compressed = strcasecmp(path.extension().c_str(), ".gz") == 0;
  if (std::uint64_t{image->nvox} * static_cast<std::uint64_t>(image->nbyper) >
      file_bytes * (compressed ? kMostDeflateExpansion : 1)) {
    return Bad(path, "is cut short");
  }
  const std::int64_t slice = choice.slice >= 0 ? choice.slice : slices / 2;
  if (slice >= slices)
    return Bad(path, StrCat("has ", slices, " slices, so there is no slice ", slice));
  if (nifti_image_load(image.get()) != 0 || image->data == nullptr)
    return Bad(path, "is cut short");
  Plane plane{static_cast<std::uint32_t>(rows),
              static_cast<std::uint32_t>(columns),
              {},
              0,
              std::abs(image->dy),
              std::abs(image->dx)};
  plane.values.resize(static_cast<std::size_t>(rows * columns));
  const auto start = static_cast<std::size_t>(slice * rows * columns);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      // NIfTI's second axis points up the page, DICOM's rows down.
      const auto from = start + static_cast<std::size_t>((rows - 1 - row) * columns + column);
      const double value = Voxel(*image, from);
      if (!std::isfinite(static_cast<float>(value))) {
        return Bad(path, "has voxels that are not numbers");
      }
      plane.values[static_cast<std::size_t>(row * columns + column)] = static_cast<float>(value);
    }
  }
  return plane;
}

}  // namespace

absl::StatusOr<Plane> ReadPlane(const fs::path& path, const PlaneChoice& choice) {
  std::string name = path.filename().string();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (error) return Bad(path, error.message());
  if (bytes > kMostFileBytes) return Bad(path, "is too large");
  if (name.ends_with(".png")) return ReadPng(path, bytes, choice);
  if (name.ends_with(".jpg") || name.ends_with(".jpeg")) return ReadJpeg(path, bytes, choice);
  if (name.ends_with(".nii") || name.ends_with(".nii.gz")) return ReadNifti(path, bytes, choice);
  return Bad(path, "is none of .png, .jpg, .jpeg, .nii, .nii.gz");
}

}  // namespace consilium::datasets
