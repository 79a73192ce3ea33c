#!/usr/bin/perl

# API servers that give a list as the beginning of a watch (Kubernetes 1.34 and
# later): one request for both. Whatever becomes of it, no weight is one of a
# part of the list, and what can't be had so is listed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new;
my @nodes = map "127.0.0.$_", 11 .. 13;
my $slices = '/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices';

# An object of 24 pods as a watch brings it, of which nothing follows.
my $part = '{"type":"ADDED","object":{"kind":"EndpointSlice","metadata":'
    . '{"name":"orders-0","namespace":"prod","resourceVersion":"1","labels":'
    . '{"kubernetes.io/service-name":"orders"}},"addressType":"IPv4",'
    . '"endpoints":[' . join(',', map qq({"addresses":["10.0.0.$_"]}), 1 .. 24)
    . "]}}\n";

# Name and fault of the first watches.
my %fault = (
    well     => undef,
    cut      => ['body', body => $part, times => 1],
    refused  => ['status', code => 422, times => 1],
    busy     => ['status', code => 429, retry_after => 1, times => 1],
    broken   => ['status', code => 500, times => 1],
    silent   => ['hang', times => 1],
);
my @names = sort keys %fault;
my %fake;
my $http = '';
for my $name (@names) {
    $fake{$name} = $t->fake_cluster(uc $name, '--kubernetes', 36);
    $fake{$name}->app('prod', 'orders', 12);
    $fake{$name}->nodes(@nodes);
    $fake{$name}->fault(shift @{$fault{$name}}, on => 'watch',
        path_prefix => '/apis/', @{$fault{$name}}) if $fault{$name};
    $http .= <<"EOF";
    dynamic_weight_cluster $name {
        api            %%@{[uc $name]}%%;
        ingress_nodes  nodes=role=ingress;
        timeout        1s;
    }
    upstream $name {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  $name service=prod/orders port=%%BACKEND%%;
    }
EOF
}
$t->start_backends;
$t->conf(http => "    dynamic_weight_zone main:1m;\n$http"
    . $t->edge_server('well'));
ok($t->start, 'nginx starts');

sub follows {
    my ($name, $pods, $what) = @_;
    ok($t->wait_weights($name, { '127.0.0.1' => 10,
        map { $_ => int($pods * 10 / 3) } @nodes }, 60), "$name: $what");
}
sub asked {
    my ($name, $what) = @_;
    my $paths = $fake{$name}->requests->{paths};
    my ($path) = grep { /endpointslices/ } keys %$paths;
    return $paths->{$path}{$what};
}
follows($_, 12, 'the first list') for @names;

is(asked('well', 'lists'), 0, 'no list of its own');
is(asked('well', 'watches'), 1, 'a watch for both');
is(asked($_, 'lists'), 1, "$_: a list instead") for grep { $_ ne 'well' } @names;
my $watch = $t->status->{clusters}{well}{watch};
is($watch->{failures}, 0, 'no failure');
is($t->status->{clusters}{$_}{watch}{failures}, 0, "$_: nor is that one")
    for qw(cut refused silent);

$_->heal for values %fake;
for my $name (@names) {
    wait_ok { $fake{$name}->requests->{open_watches} == 2 } "$name: watched";
    $fake{$name}->app('prod', 'orders', 15);
    follows($name, 15, 'an event');
}

# ---- A version that the server has forgotten: again by one request.

my ($lists, $watches) = map { asked('well', $_) } qw(lists watches);
$fake{well}->fault('watch_error', code => 410, times => 1, path_prefix => '/apis/');
wait_ok { asked('well', 'watches') > $watches } 'watched anew';
$fake{well}->app('prod', 'orders', 18);
follows('well', 18, 'and followed');
is(asked('well', 'lists'), $lists, 'without a list');

# ---- Upgraded and back.

for my $version (33, 36) {
    $fake{well}->stop;
    $fake{well}{options} = ['--kubernetes', $version];
    $fake{well}->start;
    $fake{well}->app('prod', 'orders', $version - 12);
    follows('well', $version - 12, "the same at 1.$version");
}

my @pods = $t->log =~ /cluster "\w+": pods (?:\d+ -> )?(\d+),/g;
is_deeply([grep { !/^(?:12|15|18|21)$/ } @pods[0 .. $#pods - 1]], [],
    'no weight of a part');

$t->done;
