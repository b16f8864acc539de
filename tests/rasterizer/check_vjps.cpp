// Every f/f_vjp pair of csrc/math against central differences in float64. No torch, no GPU: prints one line a pair and
// exits with the number of pairs that disagree.
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "math/blend.h"
#include "math/depth_terms.h"
#include "math/effective_rank.h"
#include "math/exposure.h"
#include "math/photometric.h"
#include "math/splat.h"

using namespace dgr;
using Numbers = std::vector<double>;

static std::mt19937 rng(7);
static double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(rng); }
static Numbers random_numbers(int count, double low, double high) {
  Numbers x(count);
  for (double& value : x) value = uniform(low, high);
  return x;
}

static int failures = 0;

// v·∂f/∂x by differences against vjp(x, v), at several random x that `draw` gives.
static void check(const std::string& name, const std::function<Numbers()>& draw,
                  const std::function<Numbers(const Numbers&)>& f,
                  const std::function<Numbers(const Numbers&, const Numbers&)>& vjp) {
  double worst = 0, largest = 0;
  for (int trial = 0; trial < 20; ++trial) {
    const Numbers x = draw();
    const Numbers v = random_numbers(int(f(x).size()), -1, 1), gradient = vjp(x, v);
    double scale = 1e-3;
    for (double g : gradient) scale = std::max(scale, std::abs(g));
    largest = std::max(largest, scale);
    for (size_t i = 0; i < x.size(); ++i) {
      const double h = 1e-6 * std::max(1.0, std::abs(x[i]));
      Numbers up = x, down = x;
      up[i] += h;
      down[i] -= h;
      const Numbers high = f(up), low = f(down);
      double difference = 0;
      for (size_t k = 0; k < v.size(); ++k) difference += v[k] * (high[k] - low[k]) / (2 * h);
      worst = std::max(worst, std::abs(difference - gradient[i]) / scale);
    }
  }
  const bool ok = worst < 1e-7 && largest > 1e-2;  // a check on gradients that are all 0 would prove nothing
  failures += !ok;
  std::printf("%-28s %s  worst %.1e of the largest entry\n", name.c_str(), ok ? "ok  " : "FAIL", worst);
}

static Vec3<double> vec3(const Numbers& x, int i) { return {x[i], x[i + 1], x[i + 2]}; }
static Mat3<double> mat3(const Numbers& x, int i) {
  return {{{x[i], x[i + 1], x[i + 2]}, {x[i + 3], x[i + 4], x[i + 5]}, {x[i + 6], x[i + 7], x[i + 8]}}};
}
static void append(Numbers& out, const Mat3<double>& m) {
  for (const auto& row : m.m) out.insert(out.end(), row, row + 3);
}
static void append(Numbers& out, Vec3<double> a) { out.insert(out.end(), {a.x, a.y, a.z}); }

// A camera from 12 pose numbers; intrinsics fixed.
static Pinhole<double> camera_of(const Numbers& x, int i) {
  return {mat3(x, i), vec3(x, i + 9), 500, 480, 310, 250, 0.7, 0.6};
}

static void check_quaternions() {
  const auto draw = [] { return random_numbers(4, 0.3, 1); };
  check(
      "normalize", draw,
      [](const Numbers& x) {
        const Quat<double> q = normalize<double>({x[0], x[1], x[2], x[3]});
        return Numbers{q.w, q.x, q.y, q.z};
      },
      [](const Numbers& x, const Numbers& v) {
        const Quat<double> q = normalize_vjp<double>({x[0], x[1], x[2], x[3]}, {v[0], v[1], v[2], v[3]});
        return Numbers{q.w, q.x, q.y, q.z};
      });
  check(
      "rotation", draw,
      [](const Numbers& x) {
        Numbers out;
        append(out, rotation<double>({x[0], x[1], x[2], x[3]}));
        return out;
      },
      [](const Numbers& x, const Numbers& v) {
        const Quat<double> q = rotation_vjp<double>({x[0], x[1], x[2], x[3]}, mat3(v, 0));
        return Numbers{q.w, q.x, q.y, q.z};
      });
}

static void check_camera() {
  const auto draw = [] { return random_numbers(15, -1, 1); };  // mean, rotation, translation
  check(
      "to_camera", draw,
      [](const Numbers& x) {
        Numbers out;
        append(out, to_camera(camera_of(x, 3), vec3(x, 0)));
        return out;
      },
      [](const Numbers& x, const Numbers& v) {
        Vec3<double> v_mean = {0, 0, 0}, v_translation = {0, 0, 0};
        Mat3<double> v_rotation = {};
        to_camera_vjp(camera_of(x, 3), vec3(x, 0), vec3(v, 0), v_mean, v_rotation, v_translation);
        Numbers out;
        append(out, v_mean);
        append(out, v_rotation);
        append(out, v_translation);
        return out;
      });
  check(
      "view_ray", draw,
      [](const Numbers& x) {
        Numbers out;
        append(out, view_ray(camera_of(x, 3), vec3(x, 0)));
        return out;
      },
      [](const Numbers& x, const Numbers& v) {
        Vec3<double> v_mean = {0, 0, 0}, v_translation = {0, 0, 0};
        Mat3<double> v_rotation = {};
        view_ray_vjp(camera_of(x, 3), vec3(v, 0), v_mean, v_rotation, v_translation);
        Numbers out;
        append(out, v_mean);
        append(out, v_rotation);
        append(out, v_translation);
        return out;
      });
  // Slopes inside (|x/z| < 0.6), and beyond the clamp's bounds on either side.
  const double slopes[][2] = {{-0.5, 0.5}, {0.8, 2}, {-2, -0.8}};
  for (const auto& slope : slopes)
    check(
        std::string("pinhole") + (slope[0] > 0   ? ", right of the bound"
                                  : slope[1] < 0 ? ", left of the bound"
                                                 : ""),
        [&] {
          const double z = uniform(0.5, 3);
          return Numbers{z * uniform(slope[0], slope[1]), z * uniform(slope[0], slope[1]), z};
        },
        [](const Numbers& x) {
          const auto p = pinhole(camera_of(Numbers(12), 0), vec3(x, 0));
          return Numbers{p.u, p.v, p.xx, p.xz, p.yy, p.yz};
        },
        [](const Numbers& x, const Numbers& v) {
          Numbers out;
          append(out, pinhole_vjp(camera_of(Numbers(12), 0), vec3(x, 0), {v[0], v[1], v[2], v[3], v[4], v[5]}));
          return out;
        });
}

static void check_footprint() {
  const auto covariance = [](const Numbers& x) {
    return pixel_covariance<double>({0, 0, x[0], x[1], x[2], x[3]}, mat3(x, 4));
  };
  const auto draw = [] { return random_numbers(13, -1, 1); };
  check(
      "pixel_covariance", draw,
      [&](const Numbers& x) {
        const auto c = covariance(x);
        return Numbers{c.xy, c.yy, c.det_sharp, c.det};
      },
      [&](const Numbers& x, const Numbers& v) {
        PixelAndJacobian<double> v_j = {};
        Mat3<double> v_axes;
        pixel_covariance_vjp<double>({0, 0, x[0], x[1], x[2], x[3]}, mat3(x, 4), covariance(x),
                                     {v[0], v[1], v[2], v[3]}, v_j, v_axes);
        Numbers out = {v_j.xx, v_j.xz, v_j.yy, v_j.yz};
        append(out, v_axes);
        return out;
      });
  check(
      "footprint", [] { return Numbers{uniform(-1, 1), uniform(1, 2), uniform(0.5, 2), uniform(3, 5)}; },
      [](const Numbers& x) {
        const auto f = footprint<double>({{}, {}, x[0], x[1], x[2], x[3]});
        return Numbers{f.xx, f.xy, f.yy, f.compensation};
      },
      [](const Numbers& x, const Numbers& v) {
        const PixelCovariance<double> c = {{}, {}, x[0], x[1], x[2], x[3]};
        const auto g = footprint_vjp<double>(c, footprint(c), {v[0], v[1], v[2], v[3]});
        return Numbers{g.xy, g.yy, g.det_sharp, g.det};
      });
  // J (4), the axes (9), then z; the reach such that some are held and some are not.
  for (double reach : {0.5, 6.66})
    check(
        "depth_slope, reach " + std::to_string(reach),
        [] {
          Numbers x = random_numbers(14, 0.2, 2);
          for (int i = 4; i < 13; ++i) x[i] = uniform(-1, 1);
          return x;
        },
        [=](const Numbers& x) {
          const Mat3<double> axes = mat3(x, 4);
          const auto p = pixel_covariance<double>({0, 0, x[0], x[1], x[2], x[3]}, axes);
          const auto h = depth_slope(pixel_depth_covariance(p, axes, x[13], reach), x[13]);
          return Numbers{h.x, h.y};
        },
        [=](const Numbers& x, const Numbers& v) {
          const Mat3<double> axes = mat3(x, 4);
          const PixelAndJacobian<double> j = {0, 0, x[0], x[1], x[2], x[3]};
          const auto p = pixel_covariance(j, axes);
          PixelAndJacobian<double> v_j = {};
          Mat3<double> v_axes = {};
          double v_z = 0;
          depth_slope_vjp(j, axes, p, footprint(p), pixel_depth_covariance(p, axes, x[13], reach), x[13], {v[0], v[1]},
                          v_j, v_axes, v_z);
          Numbers out = {v_j.xx, v_j.xz, v_j.yy, v_j.yz};
          append(out, v_axes);
          out.push_back(v_z);
          return out;
        });
  check(
      "scaled_axes", [] { return random_numbers(12, 0.2, 2); },
      [](const Numbers& x) {
        Numbers out;
        append(out, scaled_axes(mat3(x, 0), vec3(x, 9)));
        return out;
      },
      [](const Numbers& x, const Numbers& v) {
        Mat3<double> v_turn;
        Vec3<double> v_scale;
        scaled_axes_vjp(mat3(x, 0), vec3(x, 9), mat3(v, 0), v_turn, v_scale);
        Numbers out;
        append(out, v_turn);
        append(out, v_scale);
        return out;
      });
}

static void check_harmonics() {
  const auto draw = [] { return random_numbers(3, -1, 1); };
  check(
      "unit", draw,
      [](const Numbers& x) {
        Numbers out;
        append(out, unit(vec3(x, 0)));
        return out;
      },
      [](const Numbers& x, const Numbers& v) {
        Numbers out;
        append(out, unit_vjp(vec3(x, 0), vec3(v, 0)));
        return out;
      });
  for (int degree = 1; degree <= 3; ++degree)
    check(
        "sh_basis, degree " + std::to_string(degree), draw,
        [=](const Numbers& x) {
          Numbers basis(16, 0.0);
          sh_basis(degree, vec3(x, 0), basis.data());
          return basis;
        },
        [=](const Numbers& x, const Numbers& v) {
          Numbers out;
          append(out, sh_basis_vjp(degree, vec3(x, 0), v.data()));
          return out;
        });
  // Coefficients, then basis functions, of which those beyond the degree have no part in the color.
  for (int degree : {0, 2, 3})
    check(
        "sh_color, degree " + std::to_string(degree), [] { return random_numbers(4 * SH_MAX_COUNT, -1, 1); },
        [=](const Numbers& x) {
          Numbers out;
          append(out, sh_color(degree, x.data(), x.data() + 3 * SH_MAX_COUNT));
          return out;
        },
        [=](const Numbers& x, const Numbers& v) {
          Numbers features = x, out(4 * SH_MAX_COUNT, 0.0);
          sh_color_vjp(degree, features.data(), x.data() + 3 * SH_MAX_COUNT, vec3(v, 0), &out[3 * SH_MAX_COUNT]);
          std::copy_n(features.begin(), 3 * sh_count(degree), out.begin());
          return out;
        });
}

// The harmonics are orthonormal on the sphere, which fixes every constant but the signs.
static void check_orthonormality() {
  double worst = 0;
  const int rings = 64, sectors = 64;
  double products[16][16] = {};
  for (int i = 0; i < rings; ++i)
    for (int j = 0; j < sectors; ++j) {
      const double z = std::cos(M_PI * (i + 0.5) / rings), r = std::sqrt(1 - z * z),
                   phi = 2 * M_PI * (j + 0.5) / sectors;
      const double area = 2 * M_PI / sectors * (std::cos(M_PI * i / rings) - std::cos(M_PI * (i + 1) / rings));
      double basis[16];
      sh_basis<double>(3, {r * std::cos(phi), r * std::sin(phi), z}, basis);
      for (int a = 0; a < 16; ++a)
        for (int b = 0; b < 16; ++b) products[a][b] += area * basis[a] * basis[b];
    }
  for (int a = 0; a < 16; ++a)
    for (int b = 0; b < 16; ++b) worst = std::max(worst, std::abs(products[a][b] - (a == b)));
  const bool ok = worst < 5e-3;  // the quadrature's own error
  failures += !ok;
  std::printf("%-28s %s  worst %.1e\n", "sh_basis is orthonormal", ok ? "ok  " : "FAIL", worst);
}

// mean 0..2, scale 3..5, quat 6..9, opacity 10, pose 11..22
static void check_project() {
  const auto draw = [] {
    Numbers x = random_numbers(23, -0.2, 0.2);
    for (int i = 3; i < 6; ++i) x[i] = uniform(0.02, 0.3);
    for (int i = 6; i < 10; ++i) x[i] = uniform(0.3, 1);
    x[10] = uniform(0.2, 0.8);
    for (int i = 0; i < 3; ++i) x[11 + 4 * i] += 1;
    x[22] += 2;
    return x;
  };
  const auto gaussian = [](const Numbers& x) {
    return Gaussian<double>{vec3(x, 0), vec3(x, 3), {x[6], x[7], x[8], x[9]}, x[10]};
  };
  for (const SplatRules<double> rules : {SplatRules<double>{false, 0}, {true, 0}, {false, 6.66}, {true, 40}})
    check(
        std::string("project") + (rules.antialiasing ? ", antialiasing" : "") + (rules.has_slopes() ? ", rays" : ""),
        draw,
        [=](const Numbers& x) {
          const auto s = project(camera_of(x, 11), gaussian(x), rules);
          return Numbers{s.u, s.v, s.xx, s.xy, s.yy, s.opacity, s.depth, s.slope.x, s.slope.y};
        },
        [=](const Numbers& x, const Numbers& v) {
          PoseCotangent<double> pose = {};
          const auto g = project_vjp<double>(camera_of(x, 11), gaussian(x), rules,
                                             {v[0], v[1], v[2], v[3], v[4], v[5], v[6], {v[7], v[8]}}, pose);
          Numbers out;
          append(out, g.mean);
          append(out, g.scale);
          out.insert(out.end(), {g.quat.w, g.quat.x, g.quat.y, g.quat.z, g.opacity});
          append(out, pose.rotation);
          append(out, pose.translation);
          return out;
        });
}

// A pixel with five splats of six numbers each (u v xx xy yy opacity), three channels, a depth and its slopes, composed and
// differentiated as the kernels do; also what the background sends through alpha. Where a sensor measured, the limit lies
// between the splats.
static constexpr int LAYERS = 5, CHANNELS = 3, FIELDS = 9 + CHANNELS;
static constexpr double SENSOR_DEPTH = 3.3;
struct BlendCase {
  const char* name;
  bool inverse, sensor;
  double gap = 0;  // with Depths::Surfaces
  double limit() const { return !sensor ? unlimited<double>() : inverse ? 0.02 : 1.6; }
};
static const double background[CHANNELS] = {0.3, 0.6, 0.2};

static PixelSplat<double, CHANNELS> layer_of(const Numbers& x, int i, bool inverse) {
  const double* p = &x[i * FIELDS];
  const double scale = falloff_scale<double>();
  return {p[0],
          p[1],
          scale * p[2],
          scale * p[3],
          scale * p[4],
          p[5],
          {{p[6], p[7], p[8]}},
          p[9],
          1 / p[9],
          p[10],
          p[11],
          inverse ? 1 / p[9] : 1.0};
}
static Falloff<double> falloff_at_origin(const PixelSplat<double, CHANNELS>& s) {
  return falloff(s.xx, s.u, s.xy * s.v, s.yy * s.v * s.yy * s.v);
}
struct Composed {
  PixelSums<double, CHANNELS> sums;
  PixelSurfaces<double> surfaces;
};
template <Depths D>
static Composed compose(const Numbers& x, const BlendCase& of) {
  PixelSums<double, CHANNELS> sums =
      measured_pixel<double, CHANNELS>(of.sensor ? SENSOR_DEPTH : 0.0, of.limit(), of.inverse);
  PixelSurfaces<double> surfaces = no_surfaces<double>();
  for (int i = 0; i < LAYERS; ++i) {
    const PixelSplat<double, CHANNELS> s = layer_of(x, i, of.inverse);
    const double w = s.opacity * falloff_at_origin(s).weight * sums.transmittance;
    const PairDepth<double> at = depth_at<D>(s, s.u, s.v, of.inverse);
    if constexpr (D == Depths::Surfaces)
      blend_surface(sums, surfaces, s, at, w, sums.transmittance - w, of.gap, double(i));
    else
      blend<D>(sums, s, at, w, sums.transmittance - w);
  }
  if constexpr (D == Depths::Surfaces) put_in_table(sums, surfaces);
  return {sums, surfaces};
}
template <Depths D>
static Numbers pixel_gradient(const Numbers& x, const Numbers& v, const BlendCase& of) {
  const auto [sums, surfaces] = compose<D>(x, of);
  const PixelCotangent<double, CHANNELS> c = {{{v[0], v[1], v[2]}}, v[3], v[4], v[6]};
  const double behind = v[0] * background[0] + v[1] * background[1] + v[2] * background[2] - v[5];
  PixelWalk<double> walk = {sums.transmittance,    behind,     sums.reference,
                            sums.reference_factor, sums.limit, mean_offset(sums, sums.weight)};
  Numbers gradient(x.size());
  for (int i = LAYERS - 1; i >= 0; --i) {
    const PixelSplat<double, CHANNELS> s = layer_of(x, i, of.inverse);
    const Falloff<double> f = falloff_at_origin(s);
    const double alpha = s.opacity * f.weight;
    if constexpr (D == Depths::Surfaces) enter_surface(walk, surface_at(surfaces.table, double(i)), of.inverse);
    const auto pair = blend_vjp<D>(walk, s, depth_at<D>(s, s.u, s.v, of.inverse), alpha, alpha, c);
    SplatSums<double, CHANNELS> splat_sums = {};
    add_pair<true, D>(splat_sums, s, pair, f.slant, s.u, s.v, c);
    const double* p = &x[i * FIELDS];
    const SplatCotangent<double> g = finish(splat_sums, p[2], p[3], p[4], p[5]);
    const DepthCotangent<double> depth = finish_depth<D>(splat_sums, p[9], p[10], p[11]);
    const double all[FIELDS] = {g.u + depth.u,
                                g.v + depth.v,
                                g.xx,
                                g.xy,
                                g.yy,
                                g.opacity,
                                splat_sums.color.at[0],
                                splat_sums.color.at[1],
                                splat_sums.color.at[2],
                                depth.depth,
                                depth.slope_x,
                                depth.slope_y};
    std::copy(all, all + FIELDS, gradient.begin() + i * FIELDS);
  }
  return gradient;
}
template <Depths D>
static void check_blend(const BlendCase& of) {
  const auto draw = [] {
    Numbers x;
    for (int i = 0; i < LAYERS; ++i)
      for (double value : {uniform(-1, 1), uniform(-1, 1), uniform(0.3, 1), uniform(-0.5, 0.5), uniform(0.3, 1),
                           uniform(0.2, 0.7), uniform(0, 1), uniform(0, 1), uniform(0, 1), 1.0 + i + uniform(0, 0.9),
                           uniform(-0.03, 0.03), uniform(-0.03, 0.03)})
        x.push_back(value);
    return x;
  };
  check(
      of.name, draw,
      [=](const Numbers& x) {
        const auto [s, surfaces] = compose<D>(x, of);
        const double apart = surfaces.distortion + distortion(s, surfaces.weight);
        return Numbers{s.color.at[0] + s.transmittance * background[0],
                       s.color.at[1] + s.transmittance * background[1],
                       s.color.at[2] + s.transmittance * background[2],
                       s.inverse_depth,
                       s.depth,
                       s.weight,
                       D == Depths::Surfaces ? apart : distortion(s, s.weight)};
      },
      [=](const Numbers& x, const Numbers& v) { return pixel_gradient<D>(x, v, of); });
}

// One window over a row of pixels: the means, the similarity, and back to the pixels. x is 0..10, y 11..21.
static SsimMeans<double> window_means(const Numbers& pixels) {
  const SsimWeights<double> weights = ssim_weights<double>();
  SsimMeans<double> means = {};
  for (int k = 0; k < SSIM_WINDOW; ++k) add_pixel(means, weights.at[k], pixels[k], pixels[SSIM_WINDOW + k]);
  return means;
}
static void check_ssim() {
  check(
      "ssim", [] { return random_numbers(2 * SSIM_WINDOW, 0.1, 0.9); },
      [](const Numbers& pixels) { return Numbers{ssim(ssim_factors(window_means(pixels)))}; },
      [](const Numbers& pixels, const Numbers& v) {
        const SsimMeans<double> means = window_means(pixels);
        const auto g = ssim_vjp(means, ssim_factors(means), v[0]);
        const SsimWeights<double> weights = ssim_weights<double>();
        Numbers out(2 * SSIM_WINDOW);
        for (int k = 0; k < SSIM_WINDOW; ++k) {
          const double x = pixels[k], y = pixels[SSIM_WINDOW + k], w = weights.at[k];
          out[k] = pixel_vjp(x, y, w * g.x, w * g.squares, w * g.product);
          out[SSIM_WINDOW + k] = pixel_vjp(y, x, w * g.y, w * g.squares, w * g.product);
        }
        return out;
      });
}

// Of a pixel x, y, w, with x and y clearly apart: the sum of weighted differences, with the similarity a function of x alone.
static void check_difference() {
  const double slope = 0.3;
  check(
      "difference", [] { return Numbers{uniform(0, 1), uniform(0, 1) < 0.5 ? -1.0 : 2.0}; },
      [=](const Numbers& p) {
        PhotometricSums<double> sums = {};
        add_difference(sums, p[0], p[1], 0.7, slope * p[0]);
        return Numbers{sums.l1, sums.dssim};
      },
      [=](const Numbers& p, const Numbers& v) {
        return Numbers{difference_vjp(p[0], p[1], 0.7, -0.7 * slope, v[0], v[1]),
                       difference_vjp(p[1], p[0], 0.7, 0.0, v[0], v[1])};
      });
}

// Of a pixel whose rendered inverse depth is clearly on either side of the map's.
static void check_inv_depth() {
  constexpr double UNIT = 1.7, DEPTH_MAX = 9;
  const auto pixel_of = [](const Numbers& x) { return InvDepthPixel<double>{x[0], x[1], 2.0, 0.6}; };
  check(
      "inverse depth",
      [] {
        const double alpha = uniform(0.3, 1), apart = uniform(0, 1) < 0.5 ? 0.6 : 1.5;
        return Numbers{alpha * apart / 2, alpha};
      },
      [=](const Numbers& x) {
        const InvDepthPixel<double> pixel = pixel_of(x);
        WeightedSums<double> sums = {0, 0};
        add_weighted(sums, counts(pixel, UNIT, DEPTH_MAX), pixel.weight, absolute(inv_depth_error(pixel, UNIT)));
        return Numbers{sums.values};
      },
      [=](const Numbers& x, const Numbers& v) {
        const InvDepthCotangent<double> g = inv_depth_error_vjp(pixel_of(x), UNIT, DEPTH_MAX, v[0]);
        return Numbers{g.inv_depth, g.alpha};
      });
}
static void check_distortion(const char* name, double scale) {
  const DistortionRule<double> rule = distortion_rule<double>({1, 1.7, scale});
  const auto pixel_of = [](const Numbers& x) { return DistortionPixel<double>{x[0], 0.5, 0.6}; };
  check(
      name, [] { return random_numbers(1, 0.01, 2); },
      [=](const Numbers& x) {
        const DistortionPixel<double> pixel = pixel_of(x);
        WeightedSums<double> sums = {0, 0};
        add_weighted(sums, counts(pixel), pixel.weight, robust_distortion(pixel, rule));
        return Numbers{sums.values};
      },
      [=](const Numbers& x, const Numbers& v) { return Numbers{robust_distortion_vjp(pixel_of(x), rule, v[0])}; });
}

// Needles and what is between them and discs; the kink, where nothing costs, is not among them.
static void check_effective_rank() {
  check(
      "effective rank",
      [] {
        Numbers x = random_numbers(3, -5, -4);
        x[1] += 2;
        return x;
      },
      [](const Numbers& x) { return Numbers{effective_rank_cost(rank_parts(vec3(x, 0)), 1.7)}; },
      [](const Numbers& x, const Numbers& v) {
        Numbers gradient;
        append(gradient, effective_rank_cost_vjp(rank_parts(vec3(x, 0)), 1.7, v[0]));
        return gradient;
      });
}

static void check_exposure() {
  const auto exposure_of = [](const Numbers& x) {
    Exposure<double> exposure;
    std::copy(x.begin() + 3, x.end(), exposure.at);
    return exposure;
  };
  check(
      "exposure", [] { return random_numbers(3 + EXPOSURE, -1, 1); },
      [=](const Numbers& x) {
        const Vec3<double> shown = expose(exposure_of(x), vec3(x, 0));
        return Numbers{shown.x, shown.y, shown.z};
      },
      [=](const Numbers& x, const Numbers& v) {
        Numbers gradient;
        append(gradient, expose_vjp(exposure_of(x), vec3(v, 0)));
        double sums[EXPOSURE] = {};
        add_exposure_vjp(vec3(x, 0), vec3(v, 0), sums);
        gradient.insert(gradient.end(), sums, sums + EXPOSURE);
        return gradient;
      });
}

int main() {
  check_quaternions();
  check_camera();
  check_footprint();
  check_harmonics();
  check_orthonormality();
  check_project();
  check_blend<Depths::Center>({"blend, linear distortion", false, false});
  check_blend<Depths::Center>({"blend, inverse distortion", true, false});
  check_blend<Depths::Ray>({"blend along rays, linear", false, false});
  check_blend<Depths::Ray>({"blend along rays, inverse", true, false});
  check_blend<Depths::Ray>({"blend and sensor, linear", false, true});
  check_blend<Depths::Ray>({"blend and sensor, inverse", true, true});
  // Depths in [1, 2), [2, 3), …: some of neighbors are of one surface; of the last two gaps there are more than four.
  check_blend<Depths::Surfaces>({"surfaces, linear", false, false, 0.35});
  check_blend<Depths::Surfaces>({"surfaces, inverse", true, false, 0.25});
  check_blend<Depths::Surfaces>({"many surfaces, linear", false, false, 0.01});
  check_blend<Depths::Surfaces>({"surfaces and sensor, linear", false, true, 0.35});
  check_ssim();
  check_difference();
  check_inv_depth();
  check_effective_rank();
  check_exposure();
  check_distortion("mean distortion", 0);
  check_distortion("mean robust distortion", 0.8);
  return failures;
}
