#include "datasets/dicom/jpeg2000.h"

#include <openjpeg.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "common/base/text.h"
#include "datasets/dicom/codestream.h"

namespace consilium::datasets::dicom {
namespace {

struct StreamCloser {
  void operator()(opj_stream_t* stream) const { opj_stream_destroy(stream); }
};
struct CodecCloser {
  void operator()(opj_codec_t* codec) const { opj_destroy_codec(codec); }
};
struct ImageCloser {
  void operator()(opj_image_t* image) const { opj_image_destroy(image); }
};
using Stream = std::unique_ptr<opj_stream_t, StreamCloser>;
using Codec = std::unique_ptr<opj_codec_t, CodecCloser>;
using Picture = std::unique_ptr<opj_image_t, ImageCloser>;

constexpr auto kEnd = static_cast<OPJ_SIZE_T>(-1);

// What OpenJPEG reads from.
struct Input {
  ByteView bytes;
  std::size_t at = 0;
};

OPJ_SIZE_T ReadInput(void* buffer, OPJ_SIZE_T count, void* user) {
  auto& input = *static_cast<Input*>(user);
  if (input.at >= input.bytes.size()) return kEnd;
  const std::size_t read = std::min<std::size_t>(count, input.bytes.size() - input.at);
  std::memcpy(buffer, input.bytes.data() + input.at, read);
  input.at += read;
  return read;
}

OPJ_OFF_T SkipInput(OPJ_OFF_T count, void* user) {
  auto& input = *static_cast<Input*>(user);
  if (count < 0) return -1;
  const std::size_t left = input.bytes.size() - std::min(input.at, input.bytes.size());
  const auto skipped = std::min<std::uint64_t>(static_cast<std::uint64_t>(count), left);
  input.at += skipped;
  return static_cast<OPJ_OFF_T>(skipped);
}

OPJ_BOOL SeekInput(OPJ_OFF_T to, void* user) {
  auto& input = *static_cast<Input*>(user);
  if (to < 0 || static_cast<std::uint64_t>(to) > input.bytes.size()) return OPJ_FALSE;
  input.at = static_cast<std::size_t>(to);
  return OPJ_TRUE;
}

OPJ_SIZE_T WriteOutput(void* buffer, OPJ_SIZE_T count, void* user) {
  auto& output = *static_cast<Bytes*>(user);
  const auto* bytes = static_cast<const std::uint8_t*>(buffer);
  output.insert(output.end(), bytes, bytes + count);
  return count;
}

void Ignore(const char*, void*) {}

void Silence(opj_codec_t* codec) {
  opj_set_error_handler(codec, Ignore, nullptr);
  opj_set_warning_handler(codec, Ignore, nullptr);
  opj_set_info_handler(codec, Ignore, nullptr);
}

Picture Decode(ByteView codestream) {
  Input input{codestream};
  const Stream stream(
      opj_stream_create(std::clamp<std::size_t>(codestream.size(), 64, 1 << 16), OPJ_TRUE));
  const Codec codec(opj_create_decompress(OPJ_CODEC_J2K));
  if (!stream || !codec) return nullptr;
  opj_stream_set_read_function(stream.get(), ReadInput);
  opj_stream_set_skip_function(stream.get(), SkipInput);
  opj_stream_set_seek_function(stream.get(), SeekInput);
  opj_stream_set_user_data(stream.get(), &input, nullptr);
  opj_stream_set_user_data_length(stream.get(), codestream.size());
  Silence(codec.get());
  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  if (!opj_setup_decoder(codec.get(), &parameters)) return nullptr;
  opj_image_t* raw = nullptr;
  const bool header_read = opj_read_header(stream.get(), codec.get(), &raw) != 0;
  Picture picture(raw);
  if (!header_read || !picture) return nullptr;
  if (!opj_decode(codec.get(), stream.get(), picture.get())) return nullptr;
  if (!opj_end_decompress(codec.get(), stream.get())) return nullptr;
  return picture;
}

// The components side by side, each cut to Sample.
template <class Sample>
Bytes Interleave(const opj_image_t& picture, std::size_t pixels) {
  Bytes out(pixels * picture.numcomps * sizeof(Sample));
  for (OPJ_UINT32 c = 0; c < picture.numcomps; ++c) {
    const OPJ_INT32* values = picture.comps[c].data;
    std::uint8_t* at = out.data() + c * sizeof(Sample);
    const std::size_t step = picture.numcomps * sizeof(Sample);
    for (std::size_t i = 0; i < pixels; ++i, at += step) {
      const auto sample = static_cast<Sample>(values[i]);
      std::memcpy(at, &sample, sizeof sample);
    }
  }
  return out;
}

}  // namespace

OrRefused<Bytes> DecodeJpeg2000(const Header& header, ByteView frame) {
  const auto stream = CheckCodestream(frame);
  if (!stream.ok()) return stream.refused();
  if (stream->rows != header.rows || stream->columns != header.columns) {
    return Refused{Refusal::kDamaged,
                   StrCat("the JPEG 2000 stream is ", stream->columns, "x", stream->rows,
                          " and the header says ", header.columns, "x", header.rows)};
  }
  if (stream->components != header.samples || stream->precision > header.bits_allocated) {
    return Refused{Refusal::kDamaged,
                   StrCat("the JPEG 2000 stream has ", stream->components, " components of ",
                          stream->precision, " bits and the header says ", header.samples, " of ",
                          header.bits_allocated)};
  }
  const Picture picture = Decode(stream->bytes);
  if (!picture || picture->numcomps != static_cast<OPJ_UINT32>(header.samples)) {
    return Refused{Refusal::kUndecodable, "the JPEG 2000 stream is not sound or ends early"};
  }
  for (OPJ_UINT32 c = 0; c < picture->numcomps; ++c) {
    const opj_image_comp_t& component = picture->comps[c];
    if (component.data == nullptr || component.w != header.columns || component.h != header.rows) {
      return Refused{Refusal::kUndecodable, "the JPEG 2000 stream lacks a part of the image"};
    }
  }
  const std::size_t pixels = std::size_t{header.rows} * header.columns;
  if (header.bits_allocated == 8) return Interleave<std::uint8_t>(*picture, pixels);
  if (header.bits_allocated == 16) return Interleave<std::uint16_t>(*picture, pixels);
  return Interleave<std::uint32_t>(*picture, pixels);
}

Bytes EncodeJpeg2000(const Header& header, ByteView samples) {
  const auto count = static_cast<OPJ_UINT32>(header.samples);
  std::vector<opj_image_cmptparm_t> components(count);
  for (opj_image_cmptparm_t& component : components) {
    component = {};
    component.dx = component.dy = 1;
    component.w = header.columns;
    component.h = header.rows;
    component.prec = static_cast<OPJ_UINT32>(header.bits_stored);
    component.sgnd = header.is_signed ? 1 : 0;
  }
  const Picture picture(
      opj_image_create(count, components.data(), count == 1 ? OPJ_CLRSPC_GRAY : OPJ_CLRSPC_SRGB));
  const Codec codec(opj_create_compress(OPJ_CODEC_J2K));
  Bytes out;
  const Stream stream(opj_stream_create(1 << 16, OPJ_FALSE));
  if (!picture || !codec || !stream) return {};
  picture->x1 = header.columns;
  picture->y1 = header.rows;
  const std::size_t bytes = static_cast<std::size_t>(header.bits_allocated) / 8;
  const std::size_t pixels = std::size_t{header.rows} * header.columns;
  const int unused = 32 - header.bits_stored;
  for (std::size_t i = 0; i < pixels * count; ++i) {
    std::uint32_t sample = 0;
    std::memcpy(&sample, samples.data() + i * bytes, bytes);
    const std::uint32_t top = sample << unused;
    picture->comps[i % count].data[i / count] = header.is_signed
                                                    ? static_cast<OPJ_INT32>(top) >> unused
                                                    : static_cast<OPJ_INT32>(top >> unused);
  }
  Silence(codec.get());
  opj_cparameters_t parameters;
  opj_set_default_encoder_parameters(&parameters);
  parameters.tcp_numlayers = 1;
  parameters.tcp_rates[0] = 0;  // lossless
  parameters.cp_disto_alloc = 1;
  parameters.tcp_mct = count == 3 ? 1 : 0;
  // A resolution's sides must not shrink below a sample.
  const std::uint32_t shorter = std::min(header.rows, header.columns);
  while (parameters.numresolution > 1 && (shorter >> (parameters.numresolution - 1)) == 0) {
    --parameters.numresolution;
  }
  opj_stream_set_write_function(stream.get(), WriteOutput);
  opj_stream_set_user_data(stream.get(), &out, nullptr);
  const bool encoded = opj_setup_encoder(codec.get(), &parameters, picture.get()) &&
                       opj_start_compress(codec.get(), picture.get(), stream.get()) &&
                       opj_encode(codec.get(), stream.get()) &&
                       opj_end_compress(codec.get(), stream.get());
  return encoded ? out : Bytes{};
}

}  // namespace consilium::datasets::dicom
