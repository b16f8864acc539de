// The limit that the blend kernels are held against: a bare loop over the pixels of a tile and its splats, with the falloff, the
// transmittance and three colors, and nothing else: no culling, no thresholds, no other outputs, all data in registers or L1.
// Prints pixel-splat pairs per second of one core.
#include <chrono>
#include <cstdio>
#include <vector>

#include "../submodules/diff-gaussian-rasterization/csrc/cpu/simd.h"
#include "../submodules/diff-gaussian-rasterization/csrc/math/blend.h"

using namespace dgr;

#if defined(__AVX512F__)
using L = Lanes<float, 16>;
#elif defined(__AVX__)
using L = Lanes<float, 8>;
#else
using L = Lanes<float, 4>;
#endif

constexpr int CHANNELS = 3, SPLATS = 128, VECTORS = 4, PIXELS = VECTORS * L::width;

struct Pixels {
  L x[VECTORS], transmittance[VECTORS], color[VECTORS][CHANNELS];
};

static void blend_row(const std::vector<PixelSplat<float, CHANNELS>>& splats, Pixels& memory) {
  Pixels p = memory;  // of no address that anyone else knows: so it stays in registers
  for (const PixelSplat<float, CHANNELS>& s : splats) {
    const float dy = s.v, rise = s.yy * dy;
#pragma GCC unroll 4
    for (int i = 0; i < VECTORS; ++i) {
      const L dx = L(s.u) - p.x[i];
      const L w = L(s.opacity) * falloff(L(s.xx), dx, L(s.xy * dy), L(rise * rise)).weight * p.transmittance[i];
      p.transmittance[i] = p.transmittance[i] - w;
      DGR_UNROLL for (int c = 0; c < CHANNELS; ++c) p.color[i][c] += w * L(s.color.at[c]);
    }
  }
  memory = p;
}

int main() {
  std::vector<PixelSplat<float, CHANNELS>> splats;
  for (int i = 0; i < SPLATS; ++i) {
    const float t = float(i) / SPLATS;
    const float color[CHANNELS] = {t, 1 - t, 0.5f};
    splats.push_back(pixel_splat<CHANNELS>(20 * t, 1 - t, 0.1f + t, 0.1f * t, 0.2f, 0.01f + 0.02f * t, color, 1.0f,
                                           0.0f, 0.0f, false));
  }
  Pixels p;
  for (int i = 0; i < VECTORS; ++i)
    for (int l = 0; l < L::width; ++l) p.x[i].v[l] = float(i * L::width + l);
  double best = 1e9, shown = 0;
  for (int run = 0; run < 20; ++run) {
    for (int i = 0; i < VECTORS; ++i) {
      p.transmittance[i] = L(1);
      for (L& channel : p.color[i]) channel = L(0);
    }
    const auto start = std::chrono::steady_clock::now();
    constexpr int ROUNDS = 4000;
    for (int round = 0; round < ROUNDS; ++round) {
      blend_row(splats, p);
      for (int i = 0; i < VECTORS; ++i) p.transmittance[i] = L(1);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = seconds / (double(ROUNDS) * SPLATS * PIXELS) < best ? seconds / (double(ROUNDS) * SPLATS * PIXELS) : best;
    shown += sum(p.color[0][0] + p.color[1][1] + p.color[2][2]);
  }
  std::printf("%.0f\n", 1 / best);
  return shown == 0;  // the sums are used, or the compiler would drop them
}
