// One step of Adam (Kingma & Ba 2015, algorithm 1) for one number.
#pragma once
#include "real.h"

DGR_NAMESPACE_BEGIN

// What all numbers of a step share. The bias corrections are 1/(1 − β^t) for the t-th step.
template <class S>
struct AdamStep {
  S beta1, beta2, epsilon;
  S correction1, correction2;
};
template <class S>
DGR_FN AdamStep<S> adam_step(double beta1, double beta2, double epsilon, double t) {
  return {S(beta1), S(beta2), S(epsilon), S(1 / (1 - pow(beta1, t))), S(1 / (1 - pow(beta2, t)))};
}

// `first` and `second` are the running means of the gradient and of its square.
template <class V>
DGR_FN void adam(const AdamStep<Scalar<V>>& step, Scalar<V> rate, V& value, V gradient, V& first, V& second) {
  using S = Scalar<V>;
  first += (S(1) - step.beta1) * (gradient - first);
  second += (S(1) - step.beta2) * (gradient * gradient - second);
  value += -(rate * step.correction1) * first / (square_root(second * step.correction2) + step.epsilon);
}

DGR_NAMESPACE_END
