#pragma once

// In the simulations hundreds of sites live in one process and check the same signatures and agree
// on the same keys over and over, in every replay. Linked with memoised_crypto.cpp and the linker's
// --wrap (see CMakeLists.txt), crypto::VerifySignature, Sign, X25519, Hkdf and X25519KeyPair::FromPrivate
// compute each answer once and then remember it (an agreement once for both ends): they are pure
// functions, so that nothing else changes. Not for programs: secrets stay in memory.

namespace consilium::secagg {

void ForgetCrypto();

}  // namespace consilium::secagg
