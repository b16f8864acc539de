// The operators' schemas, the same for every backend. Implementations register themselves in cpu/ and cuda/.
//
// Shapes are in params.h. Every tensor argument is contiguous and was checked in Python (ops.py); integers are int32.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(diff_gaussian_rasterization, m) {
  m.def(
      "project(Tensor means, Tensor scales, Tensor quats, Tensor opacities, Tensor features, Tensor viewmat, "
      "int width, int height, float fx, float fy, float cx, float cy, float near, float scale_modifier, "
      "float alpha_min, int sh_degree, bool antialiasing, float depth_reach, Tensor? sh_rest) -> "
      "(Tensor means2d, Tensor inv_cov_factor, Tensor opacities2d, Tensor colors, Tensor depths, Tensor depth_slopes, "
      "Tensor cutoff_sigmas, Tensor radii, Tensor num_nonfinite)");
  m.def(
      "project_backward(Tensor means, Tensor scales, Tensor quats, Tensor opacities, Tensor features, Tensor viewmat, "
      "int width, int height, float fx, float fy, float cx, float cy, float near, float scale_modifier, "
      "float alpha_min, int sh_degree, bool antialiasing, float depth_reach, Tensor? sh_rest, Tensor radii, "
      "Tensor v_means2d, Tensor v_inv_cov_factor, Tensor v_opacities2d, Tensor v_colors, Tensor v_depths, "
      "Tensor v_depth_slopes) -> "
      "(Tensor v_means, Tensor v_scales, Tensor v_quats, Tensor v_opacities, Tensor v_features, Tensor v_viewmat, "
      "Tensor v_sh_rest)");
  m.def(
      "isect_tiles(Tensor means2d, Tensor inv_cov_factor, Tensor depths, Tensor cutoff_sigmas, Tensor radii, int "
      "width, int height) -> "
      "(Tensor flatten_ids, Tensor grad_slots, Tensor isect_offsets, Tensor tile_ranges)");
  m.def(
      "blend(Tensor means2d, Tensor inv_cov_factor, Tensor opacities2d, Tensor colors, Tensor depths, "
      "Tensor depth_slopes, Tensor background, "
      "Tensor cutoff_sigmas, Tensor flatten_ids, Tensor grad_slots, Tensor isect_offsets, Tensor tile_ranges, int "
      "width, int height, "
      "float alpha_min, float alpha_max, float transmittance_min, bool inverse_distortion, float distortion_gap, "
      "Tensor? sensor_depth, "
      "float sensor_limit, Tensor? absgrad_receiver) "
      "-> "
      "(Tensor color, Tensor inv_depth, Tensor depth, Tensor alpha, Tensor distortion, "
      "Tensor transmittance, Tensor reference, Tensor offset, Tensor end, Tensor surface_ends)");
  m.def(
      "blend_backward(Tensor means2d, Tensor inv_cov_factor, Tensor opacities2d, Tensor colors, Tensor depths, "
      "Tensor depth_slopes, Tensor background, Tensor cutoff_sigmas, Tensor flatten_ids, Tensor grad_slots, Tensor "
      "isect_offsets, Tensor "
      "tile_ranges, "
      "int width, int height, float alpha_min, float alpha_max, float transmittance_min, bool inverse_distortion, "
      "float distortion_gap, Tensor? sensor_depth, float sensor_limit, bool absgrad, "
      "Tensor transmittance, Tensor reference, Tensor offset, Tensor end, Tensor surface_ends, "
      "Tensor v_color, Tensor v_inv_depth, Tensor v_depth, Tensor v_alpha, Tensor v_distortion) -> "
      "(Tensor v_means2d, Tensor absgrad, Tensor v_inv_cov_factor, Tensor v_opacities2d, Tensor v_colors, Tensor "
      "v_depths, "
      "Tensor v_depth_slopes, Tensor v_background)");
  m.def(
      "blend_statistics(Tensor means2d, Tensor inv_cov_factor, Tensor opacities2d, Tensor colors, Tensor depths, "
      "Tensor depth_slopes, Tensor background, Tensor cutoff_sigmas, Tensor flatten_ids, Tensor grad_slots, Tensor "
      "isect_offsets, Tensor "
      "tile_ranges, "
      "int width, int height, float alpha_min, float alpha_max, float transmittance_min, bool inverse_distortion, "
      "float distortion_gap, Tensor? sensor_depth, float sensor_limit, Tensor reference, Tensor offset, Tensor end, "
      "Tensor surface_ends) -> "
      "(Tensor weight_sum, Tensor max_contribution, Tensor distortion_share, Tensor median_depth)");
  m.def(
      "photometric(Tensor image, Tensor target, Tensor? mask, int partial_count) -> "
      "(Tensor l1, Tensor dssim, Tensor share, Tensor partials)");
  m.def(
      "photometric_backward(Tensor image, Tensor other, Tensor? mask, Tensor share, Tensor partials, bool is_target, "
      "Tensor v_l1, Tensor v_dssim) -> Tensor v_image");
  m.def(
      "inv_depth_l1(Tensor inv_depth, Tensor alpha, Tensor target, Tensor? valid, Tensor? weight, float unit, "
      "float depth_max) -> (Tensor value, Tensor share)");
  m.def(
      "inv_depth_l1_backward(Tensor inv_depth, Tensor alpha, Tensor target, Tensor? valid, Tensor? weight, "
      "float unit, float depth_max, Tensor share, Tensor v_value) -> (Tensor v_inv_depth, Tensor v_alpha)");
  m.def(
      "mean_distortion(Tensor distortion, Tensor alpha, Tensor? mask, float unit, float scale) -> "
      "(Tensor value, Tensor share)");
  m.def(
      "mean_distortion_backward(Tensor distortion, Tensor alpha, Tensor? mask, float unit, float scale, "
      "Tensor share, Tensor v_value) -> Tensor v_distortion");
  m.def("effective_rank_cost(Tensor log_scales, Tensor visible, float min_rank) -> (Tensor value, Tensor share)");
  m.def(
      "effective_rank_cost_backward(Tensor log_scales, Tensor visible, float min_rank, Tensor share, Tensor v_value) "
      "-> "
      "Tensor v_log_scales");
  m.def("expose(Tensor color, Tensor exposure) -> Tensor shown");
  m.def("expose_backward(Tensor color, Tensor exposure, Tensor v_shown) -> (Tensor v_color, Tensor v_exposure)");
  m.def(
      "adam(Tensor(a!)[] values, Tensor[] gradients, Tensor(b!)[] firsts, Tensor(c!)[] seconds, float[] rates, "
      "Tensor? visible, Tensor? finite, int step, float beta1, float beta2, float epsilon) -> ()");
  m.def("instruction_set() -> str");
  m.def("get_num_threads() -> int");
  m.def("set_num_threads(int count) -> ()");
}
