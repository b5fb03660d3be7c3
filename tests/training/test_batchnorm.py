"""Statistics of BatchNorm that are taken anew."""

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim.swa_utils import update_bn

from resnet_lightning.training.batchnorm import counters_on_the_host, uncompiled


def test_counters_of_a_gpu_are_on_the_host_meanwhile():
    with FakeTensorMode():
        network = nn.Sequential(nn.BatchNorm2d(4, device="cuda"))
        counter = network[0].num_batches_tracked
        with counters_on_the_host(network):
            assert network[0].num_batches_tracked.device.type == "cpu"
            assert network[0].running_mean.device.type == "cuda"
        assert network[0].num_batches_tracked is counter and counter.device.type == "cuda"


def test_a_compiled_network_is_not_compiled_for_it():
    """Every layer divides by its counter there: hundreds of small graphs."""
    graphs, network = [], nn.Sequential(nn.BatchNorm2d(3))
    network.compile(backend=lambda graph, inputs: graphs.append(graph) or graph.forward)
    with uncompiled(network):
        update_bn([torch.randn(4, 3, 2, 2)], network)
    assert graphs == [] and int(network[0].num_batches_tracked) == 1
    network(torch.randn(4, 3, 2, 2))
    assert len(graphs) == 1


def test_what_was_counted_is_kept():
    network = nn.BatchNorm2d(3)
    counter = network.num_batches_tracked
    with counters_on_the_host(network):
        network.num_batches_tracked = torch.tensor(5)  # on a CPU the host's counter would be the same one
    assert network.num_batches_tracked is counter and int(counter) == 5
