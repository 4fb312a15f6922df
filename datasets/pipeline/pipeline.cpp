#include "datasets/pipeline/pipeline.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "datasets/pipeline/brightness.h"
#include "datasets/pipeline/framing.h"
#include "datasets/pipeline/square.h"
#include "datasets/volumes/pet_header.h"

namespace consilium::datasets::pipeline {
namespace {

using dicom::ImageFile;

OrRefused<std::uint32_t> ChooseFrame(const dicom::Header& header, plan::FrameChoice choice) {
  if (header.frames <= 1) return std::uint32_t{0};
  if (choice == plan::FrameChoice::kOnly) {
    return Refused{Refusal::kSeveralFrames, StrCat(header.frames, " frames")};
  }
  return header.frames / 2;
}

bool TakesGreen(const dicom::Header& header, const plan::Preprocessing& preprocessing) {
  return header.colour() && preprocessing.channel == plan::Channel::kGreen;
}

bool TakesAll(const plan::Preprocessing& preprocessing) {
  return preprocessing.channel == plan::Channel::kRgb;
}

// These samples of each pixel, with the frame's spacing.
OrRefused<std::vector<Image>> ReadSamples(ImageFile& file, std::uint32_t frame,
                                          std::initializer_list<std::size_t> samples) {
  const auto description = file.Describe(frame);
  if (!description.ok()) return description.refused();
  const auto rgb = file.ReadRgb(frame);
  if (!rgb.ok()) return rgb.refused();
  std::vector<Image> images;
  for (const std::size_t sample : samples) {
    Image& image = images.emplace_back();
    image.rows = rgb->rows;
    image.columns = rgb->columns;
    image.row_spacing_mm = description->row_spacing_mm;
    image.column_spacing_mm = description->column_spacing_mm;
    image.pixels.resize(rgb->values.size() / 3);
    for (std::size_t i = 0; i < image.pixels.size(); ++i) {
      image.pixels[i] = static_cast<float>(rgb->values[3 * i + sample]);
    }
  }
  return images;
}

OrRefused<Image> ReadGreen(ImageFile& file, std::uint32_t frame) {
  auto images = ReadSamples(file, frame, {1});
  if (!images.ok()) return images.refused();
  return std::move(images->front());
}

// Red, green and blue, in the units of `luminance`.
OrRefused<std::vector<Image>> ReadColours(ImageFile& file, std::uint32_t frame,
                                          const Image& luminance) {
  auto colours = ReadSamples(file, frame, {0, 1, 2});
  if (!colours.ok()) return colours;
  for (Image& colour : *colours) {
    colour.window = luminance.window;
    colour.voi_lut = luminance.voi_lut;
  }
  return colours;
}

std::optional<Refused> ToUptake(const ImageFile& file, Image* image, double* factor) {
  if (file.header().modality != "PT") {
    return Refused{Refusal::kNoSuvFactor, "only a PET (modality PT) has uptake values"};
  }
  const auto found = volumes::SuvBodyWeightFactor(volumes::ReadPetHeader(file.data_set()));
  if (!found.ok()) return found.refused();
  *factor = *found;
  const auto scale = static_cast<float>(*found);
  for (float& value : image->pixels) value *= scale;
  if (image->window) {
    image->window->center *= *found;
    image->window->width *= *found;
    // The half pixel of LINEAR means nothing in other units.
    if (image->window->function == VoiWindow::Function::kLinear) {
      image->window->function = VoiWindow::Function::kLinearExact;
    }
  }
  image->voi_lut.reset();
  return std::nullopt;
}

// The channels of an image: of grey one, itself.
using Channels = std::vector<const Image*>;

// One below the other, for what is asked of all their values together.
Image Stacked(const Channels& channels) {
  Image all = *channels.front();
  for (std::size_t i = 1; i < channels.size(); ++i) {
    all.rows += channels[i]->rows;
    all.pixels.insert(all.pixels.end(), channels[i]->pixels.begin(), channels[i]->pixels.end());
  }
  return all;
}

// Tells the observer, if there is one, what an image looks like now.
class Watch {
 public:
  explicit Watch(StageObserver* observer) : observer_(observer) {}
  bool on() const { return observer_ != nullptr; }

  void See(std::string name, std::string what, const Image& image) const {
    if (!on()) return;
    const Range range = PercentileRange(image, 0.1, 99.9);
    Stage stage{std::move(name), std::move(what), image.rows, image.columns,
                image.pixels,    range.low,       range.high};
    if (image.larger_is_darker) std::swap(stage.low, stage.high);
    Tell(std::move(stage));
  }
  void See(std::string name, std::string what, std::uint32_t rows, std::uint32_t columns,
           const std::vector<float>& brightness, std::uint32_t channels = 1) const {
    if (on()) Tell({std::move(name), std::move(what), rows, columns, brightness, 0, 1, channels});
  }
  // Of several channels, shown on one scale.
  void See(std::string name, std::string what, const Channels& channels) const {
    if (!on()) return;
    if (channels.size() == 1) return See(std::move(name), std::move(what), *channels.front());
    const Image all = Stacked(channels);
    const Range range = PercentileRange(all, 0.1, 99.9);
    Tell({std::move(name), std::move(what), channels.front()->rows, channels.front()->columns,
          all.pixels, range.low, range.high, static_cast<std::uint32_t>(channels.size())});
  }

 private:
  // Infinities of a file of fractions cannot be shown.
  void Tell(Stage stage) const {
    for (float& value : stage.pixels) value = std::isfinite(value) ? value : 0;
    if (!std::isfinite(stage.low) || !std::isfinite(stage.high)) stage.low = stage.high = 0;
    observer_->See(std::move(stage));
  }
  StageObserver* observer_;
};

void SeeStored(ImageFile& file, std::uint32_t frame, const plan::Preprocessing& preprocessing,
               const Watch& watch) {
  if (!watch.on()) return;
  const dicom::Header& header = file.header();
  auto stored = file.ReadStored(frame);
  if (!stored.ok()) return;  // which the next step tells
  std::string what = absl::StrFormat("%d x %d, %d bits%s, %s, %s", header.columns, header.rows,
                                     header.bits_stored, header.is_signed ? " signed" : "",
                                     std::string(dicom::Name(header.photometric)),
                                     std::string(dicom::Name(header.transfer_syntax)));
  if (header.frames > 1) StrAppend(&what, "; frame ", frame + 1, " of ", header.frames);
  Image image;
  image.rows = stored->rows;
  image.columns = stored->columns;
  image.larger_is_darker = header.monochrome1;
  const std::vector<float> samples = stored->As<float>();
  const auto step = static_cast<std::size_t>(stored->samples);
  const bool green =
      TakesGreen(header, preprocessing) && stored->photometric == dicom::Photometric::kRgb;
  const std::size_t first = green ? 1 : 0;
  for (std::size_t i = first; i < samples.size(); i += step) image.pixels.push_back(samples[i]);
  if (step == 3) StrAppend(&what, "; shown is its ", green ? "second" : "first", " sample");
  watch.See("stored values", std::move(what), image);
}

std::string UnitsWords(ImageFile& file, std::uint32_t frame, const Image& image,
                       const plan::Preprocessing& preprocessing) {
  std::string what;
  const auto description = file.Describe(frame);
  if (TakesAll(preprocessing)) {
    what = "red, green and blue";
  } else if (TakesGreen(file.header(), preprocessing)) {
    what = "the green of red, green and blue";
  } else if (file.header().colour()) {
    what = "luminance: 0.299 red + 0.587 green + 0.114 blue";
  } else if (description.ok() && description->modality.table) {
    what = StrCat("modality LUT of ", description->modality.table->entries.size(), " entries");
  } else if (description.ok()) {
    what = absl::StrFormat("rescale slope %.6g, intercept %.6g", description->modality.slope,
                           description->modality.intercept);
    if (description->rescale_type == "HU") what += ", Hounsfield units";
  }
  const auto [least, most] = std::minmax_element(image.pixels.begin(), image.pixels.end());
  StrAppend(&what, absl::StrFormat("; %.5g to %.5g", *least, *most));
  if (image.row_spacing_mm > 0) {
    StrAppend(&what, absl::StrFormat("; pixels of %.3g x %.3g mm", image.row_spacing_mm,
                                     image.column_spacing_mm));
  }
  const auto padding = std::count(image.padding.begin(), image.padding.end(), true);
  if (padding > 0) {
    StrAppend(&what, absl::StrFormat("; %.1f %% is padding, which does not count",
                                     100.0 * static_cast<double>(padding) /
                                         static_cast<double>(image.pixels.size())));
  }
  return what;
}

// The regions of an ultrasound image say how large its pixels are.
void TakeSpacing(const Hints& hints, const plan::Preprocessing& preprocessing, Image* image) {
  const bool spaced = image->row_spacing_mm > 0 && image->column_spacing_mm > 0;
  if (spaced || preprocessing.crop != plan::Crop::kScanRegion || !hints.scan_region) return;
  image->row_spacing_mm = hints.region_row_mm;
  image->column_spacing_mm = hints.region_column_mm;
}

std::string InputWords(const plan::Preprocessing& preprocessing, double rows, double columns) {
  return absl::StrFormat(
      "%s, %.3g x %.3g pixels to one: %d x %d",
      preprocessing.spacing_mm > 0
          ? absl::StrFormat("resampled to %.3g mm a pixel", preprocessing.spacing_mm)
          : "the longer side fits",
      columns, rows, preprocessing.image_size, preprocessing.image_size);
}

Placement PlacementOf(const Image& image, const Framing& framing, double output_mm, double row_mm,
                      double column_mm, std::uint32_t size) {
  Placement placement;
  placement.rows = image.rows;
  placement.columns = image.columns;
  placement.size = size;
  placement.left = framing.box.left;
  placement.top = framing.box.top;
  placement.right = framing.box.right;
  placement.bottom = framing.box.bottom;
  placement.columns_a_pixel = output_mm / column_mm;
  placement.rows_a_pixel = output_mm / row_mm;
  placement.centre_column = framing.centre_column;
  placement.centre_row = framing.centre_row;
  placement.mirrored = framing.mirrored;
  return placement;
}

// What the framing leaves of each channel: in `parts`, unless it is all of it.
Channels CutAll(const Channels& channels, const Framing& framing, std::vector<Image>* parts) {
  const Box whole{0, 0, channels.front()->columns, channels.front()->rows};
  if (framing.box == whole && !framing.mirrored) return channels;
  for (const Image* channel : channels) {
    parts->push_back(Cut(*channel, framing.box, framing.mirrored));
  }
  Channels cut;
  for (const Image& part : *parts) cut.push_back(&part);
  return cut;
}

// The steps from the crop on. `image` says what is cropped and turned.
OrRefused<std::vector<float>> FromUnits(const Image& image, const Channels& channels,
                                        const plan::Preprocessing& preprocessing,
                                        const Hints& hints, const Watch& watch,
                                        Placement* placement) {
  CONSILIUM_CHECK(image.rows > 0 && image.columns > 0 &&
                  image.pixels.size() == std::size_t{image.rows} * image.columns);
  const bool spaced = image.row_spacing_mm > 0 && image.column_spacing_mm > 0;
  if (preprocessing.spacing_mm > 0 && !spaced) return Refused{Refusal::kNoPixelSpacing, ""};
  const double row_mm = spaced ? image.row_spacing_mm : 1;
  const double column_mm = spaced ? image.column_spacing_mm : 1;

  const Framing framing = Frame(image, preprocessing, hints);
  std::vector<Image> parts;
  const Channels shown = CutAll(channels, framing, &parts);
  const Image& seen = *shown.front();
  if (watch.on() && framing.mirrored && preprocessing.crop != plan::Crop::kNone) {
    Framing unturned = framing;
    unturned.mirrored = false;
    std::vector<Image> cropped;
    watch.See("cropped", framing.crop_words, CutAll(channels, unturned, &cropped));
  }
  if (preprocessing.crop != plan::Crop::kNone && !framing.mirrored) {
    watch.See("cropped", framing.crop_words, shown);
  }
  if (preprocessing.face_left) watch.See("mirrored", framing.mirror_words, shown);

  std::string how;
  std::string* const words = watch.on() ? &how : nullptr;
  const auto count = static_cast<std::uint32_t>(shown.size());
  const std::vector<float> brightness = count == 1
                                            ? ToBrightness(seen, preprocessing, words)
                                            : ToBrightness(Stacked(shown), preprocessing, words);
  watch.See("brightness", how, seen.rows, seen.columns, brightness, count);

  const double longer_mm = std::max(framing.rows * row_mm, framing.columns * column_mm);
  const double output_mm = preprocessing.spacing_mm > 0 ? preprocessing.spacing_mm
                                                        : longer_mm / preprocessing.image_size;
  double centre_column = framing.centre_column - framing.box.left;
  if (framing.mirrored) centre_column = seen.columns - centre_column;
  const double centre_row = framing.centre_row - framing.box.top;
  const Axis down{seen.rows, centre_row, output_mm / row_mm};
  const Axis across{seen.columns, centre_column, output_mm / column_mm};
  std::vector<float> input;
  const std::size_t size = brightness.size() / count;
  for (std::size_t channel = 0; channel < count; ++channel) {
    const auto square = OntoSquare(std::span(brightness).subspan(channel * size, size), down,
                                   across, preprocessing.image_size);
    input.insert(input.end(), square.begin(), square.end());
  }
  watch.See("input", InputWords(preprocessing, output_mm / row_mm, output_mm / column_mm),
            preprocessing.image_size, preprocessing.image_size, input, count);
  if (placement != nullptr) {
    *placement =
        PlacementOf(image, framing, output_mm, row_mm, column_mm, preprocessing.image_size);
  }
  return input;
}

}  // namespace

std::uint32_t ChannelsOf(const plan::Preprocessing& preprocessing) {
  return TakesAll(preprocessing) ? 3 : 1;
}

std::size_t InputElements(const plan::Preprocessing& preprocessing) {
  return std::size_t{ChannelsOf(preprocessing)} * std::max(1u, preprocessing.slices) *
         preprocessing.image_size * preprocessing.image_size;
}

OrRefused<std::vector<float>> MakeInput(const Image& image,
                                        const plan::Preprocessing& preprocessing,
                                        const Hints& hints, StageObserver* observer,
                                        Placement* placement) {
  if (TakesAll(preprocessing)) return Refused{Refusal::kGreyImage, ""};
  return FromUnits(image, {&image}, preprocessing, hints, Watch(observer), placement);
}

OrRefused<std::vector<float>> MakeInput(ImageFile& file, const plan::Preprocessing& preprocessing,
                                        StageObserver* observer, Placement* placement) {
  const Watch watch(observer);
  const auto frame = ChooseFrame(file.header(), preprocessing.frame);
  if (!frame.ok()) return frame.refused();
  if (TakesAll(preprocessing) && !file.header().colour()) return Refused{Refusal::kGreyImage, ""};
  SeeStored(file, *frame, preprocessing, watch);
  auto image = TakesGreen(file.header(), preprocessing) ? ReadGreen(file, *frame)
                                                        : file.ReadModality(*frame);
  if (!image.ok()) return image.refused();
  const bool hinted = preprocessing.face_left || preprocessing.crop == plan::Crop::kScanRegion;
  const Hints hints = hinted ? ReadHints(file.data_set(), file.header()) : Hints{};
  TakeSpacing(hints, preprocessing, &*image);
  std::vector<Image> colours;
  Channels channels = {&*image};
  if (TakesAll(preprocessing)) {
    auto read = ReadColours(file, *frame, *image);
    if (!read.ok()) return read.refused();
    colours = *std::move(read);
    channels = {&colours[0], &colours[1], &colours[2]};
  }
  if (watch.on()) {
    watch.See("modality units", UnitsWords(file, *frame, *image, preprocessing), channels);
  }
  if (preprocessing.units == plan::Units::kSuv) {
    double factor = 1;
    if (auto refused = ToUptake(file, &*image, &factor)) return *std::move(refused);
    watch.See("uptake",
              absl::StrFormat("times %.5g: standardised uptake values by body weight", factor),
              *image);
  }
  auto input = FromUnits(*image, channels, preprocessing, hints, watch, placement);
  if (input.ok() && placement != nullptr) placement->frame = *frame;
  return input;
}

}  // namespace consilium::datasets::pipeline
