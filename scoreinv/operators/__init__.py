"""Linear operators A on pictures, for observations y = A x.

    A(x)           the observation, zero in unobserved components
    A.adjoint(y)   A^T y
    A.pinv(y)      A^+ y, the minimum-norm least-squares solution
    A.ridge(y, level)  A^T (A A^T + level I)^-1 y, the minimiser of |y - A x|^2 + level |x|^2
    A.replace(x, y)    x with its observed components replaced by those of y
    A.spectral()   the operator with its singular value decomposition, if it has one in closed form
    (A @ B)(x)     A(B(x)): combine several observations of one picture into one operator

| operator | A A^T is a multiple of a projection | `spectral` |
|---|---|---|
| `mask`, `gray`, `gray_and_hints` | yes | yes |
| `Blur`: any kernel, periodic boundary | no | yes |
| `valid_blur`: any kernel, unknown boundary (the scene extends beyond the photograph) | no | no |
| `downsampling`: block means, or bicubic with antialiasing | for block means | yes |
| A @ B | no | no |

`Weighting(w) @ A` weights the data, |w (y - A x)|^2. `InLight(A, curve)` observes the light of encoded pictures: it is
an `Operator` with a derivative, not a linear one. Custom operators subclass `Operator` or `LinearOperator`.

Pictures are (B, C, H, W). Operators hold tensors for a batch of 1 (shared) or B, and cast them to the picture's device
and dtype.

The names of `__init__.pyi` are imported on first use: `kernels` and `luma` need no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
