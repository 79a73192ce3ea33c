#!/usr/bin/perl

# A HorizontalPodAutoscaler scales A from 10 to 100 pods and back. What it goes by
# is an external metric, requests a second; the object that has it is this
# test's. In B a scheduled autoscaler (HPC) does what its timetable says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Estate;
use POSIX qw(strftime);
use Test::More;

my $estate = DynamicWeight::Estate->new(
    controllers => ['horizontal-pod-autoscaler-controller'],
    flags => ['--horizontal-pod-autoscaler-sync-period=1s']);
my ($a, $b) = map { $estate->cluster($_) } 'A', 'B';
$estate->make(A => 'orders', 10);
$estate->make(B => 'orders', 20);

# The metrics API: what the autoscaler asks for is a list of a kind of its own.
$a->apply(CustomResourceDefinition => {
    metadata => { name => 'requests.external.metrics.k8s.io', annotations =>
        { 'api-approved.kubernetes.io' => 'unapproved, a test' } },
    spec => { group => 'external.metrics.k8s.io', scope => 'Namespaced',
        names => { kind => 'ExternalMetricValue', plural => 'requests',
            singular => 'request', listKind => 'ExternalMetricValueList' },
        versions => [{ name => 'v1beta1', served => \1, storage => \1,
            schema => { openAPIV3Schema => { type => 'object',
                'x-kubernetes-preserve-unknown-fields' => \1 } } }] } });
my $metrics = '/apis/external.metrics.k8s.io/v1beta1/namespaces/prod/requests';
$estate->awaits(sub { ($a->api(GET => $metrics))[0] == 200 },
    'metrics are served');

sub requests {
    my ($value) = @_;
    $a->call(PATCH => "$metrics/orders?fieldManager=test&force=true", {
        apiVersion => 'external.metrics.k8s.io/v1beta1',
        kind => 'ExternalMetricValue', metadata => { name => 'orders',
            namespace => 'prod', labels => { app => 'orders' } },
        metricName => 'requests', metricLabels => { app => 'orders' },
        timestamp => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime),
        value => "$value" }, type => 'application/apply-patch+yaml');
}

requests(1000);
my $quick = { policies =>
    [{ type => 'Percent', value => 100, periodSeconds => 3 }] };
$a->call(POST => '/apis/autoscaling/v2/namespaces/prod/horizontalpodautoscalers',
    { metadata => { name => 'orders' }, spec => {
        scaleTargetRef => { apiVersion => 'apps/v1', kind => 'Deployment',
            name => 'orders' },
        minReplicas => 10, maxReplicas => 100,
        behavior => {
            scaleUp => { stabilizationWindowSeconds => 0, %$quick },
            scaleDown => { stabilizationWindowSeconds => 2, policies =>
                [{ type => 'Percent', value => 40, periodSeconds => 3 }] } },
        metrics => [{ type => 'External', external => {
            metric => { name => 'requests' },
            target => { type => 'AverageValue', averageValue => '100' } } }],
    } });
$estate->begin;
$estate->linger(3);

$estate->mark('ten times as many requests');
requests(10_000);
ok($estate->await(A => { orders => 100 }), '100 pods');
$estate->linger(2);
$estate->mark('and as few as before');
requests(1000);
for my $pods (60, 45, 20) {
    $estate->mark("B's timetable says $pods");
    $b->scale_by_subresource('prod', 'orders', $pods);
    ok($estate->await(B => { orders => $pods }), "$pods pods by the timetable");
    $estate->linger(1);
}
ok($estate->await(A => { orders => 10 }), '10 pods');
$estate->linger(3);
$estate->finish;
