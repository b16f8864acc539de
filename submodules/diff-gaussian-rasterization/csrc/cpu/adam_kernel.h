// Adam over a piece of an array, W numbers at a time.
#pragma once
#include "../math/adam.h"
#include "../params.h"
#include "simd.h"

DGR_NAMESPACE_BEGIN

template <class L, class T>
void adam_piece(const AdamSettings& s, const AdamArrays<T>& a, int64_t begin, int64_t end) {
  const AdamStep<T> step = adam_step<T>(s.beta1, s.beta2, s.epsilon, double(s.step));
  const T rate = T(a.rate);
  int64_t i = begin;
  for (; i + L::width <= end; i += L::width) {
    L value = L::load(a.values + i), first = L::load(a.firsts + i), second = L::load(a.seconds + i);
    adam(step, rate, value, L::load(a.gradients + i), first, second);
    value.store(a.values + i);
    first.store(a.firsts + i);
    second.store(a.seconds + i);
  }
  for (; i < end; ++i) adam(step, rate, a.values[i], a.gradients[i], a.firsts[i], a.seconds[i]);
}

DGR_NAMESPACE_END
