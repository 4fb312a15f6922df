#include "datasets/dicom/jpeg_encoder.h"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
// jpeglib.h needs stdio.h's types before it.
#include <jpeglib.h>

#include "common/base/status.h"

namespace consilium::datasets::dicom {
namespace {

constexpr int kQuality = 92;

struct ErrorHandler {
  jpeg_error_mgr manager;
  std::jmp_buf escape;
};

[[noreturn]] void Escape(j_common_ptr state) {
  std::longjmp(reinterpret_cast<ErrorHandler*>(state->err)->escape, 1);
}

// No object with a destructor lives here, for longjmp passes over it.
bool Encode(jpeg_compress_struct* state, ErrorHandler* handler, int samples,
            std::uint32_t row_bytes, const std::uint8_t* pixels) {
  if (setjmp(handler->escape) != 0) return false;
  state->input_components = samples;
  state->in_color_space = samples == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(state);
  jpeg_set_quality(state, kQuality, TRUE);
  state->dct_method = JDCT_ISLOW;  // the same bytes on every machine
  if (samples == 3) state->comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(state, TRUE);
  while (state->next_scanline < state->image_height) {
    auto* row = const_cast<std::uint8_t*>(pixels) + std::size_t{state->next_scanline} * row_bytes;
    jpeg_write_scanlines(state, &row, 1);
  }
  jpeg_finish_compress(state);
  return true;
}

}  // namespace

Bytes EncodeJpegBaseline(std::uint32_t rows, std::uint32_t columns, int samples, ByteView pixels) {
  const auto row_bytes = columns * static_cast<std::uint32_t>(samples);
  CONSILIUM_CHECK(pixels.size() == std::size_t{rows} * row_bytes);
  jpeg_compress_struct state{};
  ErrorHandler handler{};
  state.err = jpeg_std_error(&handler.manager);
  handler.manager.error_exit = Escape;
  handler.manager.output_message = [](j_common_ptr) {};
  jpeg_create_compress(&state);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&state, &out, &size);
  state.image_width = columns;
  state.image_height = rows;
  const bool done = Encode(&state, &handler, samples, row_bytes, pixels.data());
  Bytes jpeg;
  if (done) jpeg.assign(out, out + size);
  jpeg_destroy_compress(&state);
  std::free(out);
  return jpeg;
}

}  // namespace consilium::datasets::dicom
