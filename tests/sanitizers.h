#pragma once

namespace consilium {

// A sanitizer's shadow memory takes terabytes of addresses, and what is freed stays for a while:
// limits of memory mean nothing then.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kUnderSanitizer = true;
#else
inline constexpr bool kUnderSanitizer = false;
#endif

}  // namespace consilium
