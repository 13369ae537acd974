import torch

torch.ops.load_library("build/release/lib/libomninorm_torch.so")

x = torch.randn(64, 512, requires_grad=True)
weight = torch.ones(512, requires_grad=True)
y = torch.ops.omninorm.rms_norm(x, [512], weight)
y.sum().backward()  # fills x.grad and weight.grad

torch.testing.assert_close(y, torch.nn.functional.rms_norm(x, [512], weight, eps=1e-6))
