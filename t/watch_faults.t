#!/usr/bin/perl

# Whatever goes wrong in the middle of list and watch: no request fails, no
# weight is wrong, the log says why once, and weights follow again. Each fault
# has a cluster of its own, so that all of them happen at the same time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use JSON::PP;
use Test::More;

my $token = 'sesame-6f1d0c';

# A watch event of the application's own slice or Deployment, gone wrong.
sub event {
    my ($kind, $rest, $meta) = @_;
    return '{"type":"MODIFIED","object":{"kind":"' . $kind . '","metadata":'
        . '{"name":"orders' . ($kind eq 'EndpointSlice' ? '-0' : '')
        . '","namespace":"prod","resourceVersion":"999999",' . ($meta // '')
        . '"labels":{"kubernetes.io/service-name":"orders"}},'
        . "$rest}}\n";
}

my $slice = '"addressType":"IPv4","endpoints":';
my $one = '{"addresses":["10.0.0.1"]}';

# Name, kind of fault, list or watch, its options, what the log says.
my @faults = (
    [cut_utf8 => 'watch_cut_utf8', watch => {}, qr/closed|outstanding|cut off/],
    [huge_line => 'watch_huge_line', watch => {}, qr/longer than 4194304/],
    [nested_event => 'body', watch => {
        body => '{"type":"MODIFIED","object":' . '[' x 1e6 . "\n" },
        qr/more than 262144 values/],
    [nested_less => 'body', watch => {
        body => '{"type":"MODIFIED","object":' . '[' x 2e5 . "\n" },
        qr/no JSON/],
    [nested_list => 'nested', list => {}, qr/JSON|nest|objects/],
    [numbers => 'body', watch => {
        body => event('Deployment',
            '"status":{"readyReplicas":9223372036854775808}') },
        qr/readyReplicas.*whole number/],
    [numbers_list => 'body', list => {
        body => '{"kind":"DeploymentList","metadata":{"resourceVersion":"9"},'
            . '"items":[{"metadata":{"name":"orders","namespace":"prod"},'
            . '"status":{"readyReplicas":1e400}}]}' },
        qr/readyReplicas.*whole number/],
    [twice => 'body', watch => {
        body => event('EndpointSlice', "$slice\[$one],\"endpoints\":[]") },
        qr/endpoints.*duplicate/],
    [twice_name => 'body', watch => {
        body => event('EndpointSlice', "$slice\[$one]", '"name":"other",') },
        qr/name.*duplicate/],
    [twice_list => 'body', list => {
        body => '{"kind":"EndpointSliceList","metadata":'
            . '{"resourceVersion":"9"},"items":[],"items":[]}' },
        qr/twice/],
    [kinds => 'body', watch => {
        body => event('EndpointSlice', "$slice\{\"a\":1}") },
        qr/endpoints.*array/],
    [kinds_object => 'body', watch => {
        body => qq({"type":"MODIFIED","object":[$one]}\n) },
        qr/object.*must be an object/],
    [kinds_list => 'bad_types', list => {}, qr/must|list/],
    [another_kind => 'body', list => {
        body => '{"kind":"PodList","apiVersion":"v1","metadata":'
            . '{"resourceVersion":"9"},"items":[]}' },
        qr/no list of endpointslices/],
    [page_loop => 'continue_loop', list => {}, qr/duplicate continue token/],
    [gzip_list => 'gzip_bomb', list => {}, qr/longer|within timeout/],
    [gzip_watch => 'gzip_bomb', watch => {}, qr/JSON|longer/],
    [redirect_list => 'redirect', list => {}, qr/redirects are not followed/],
    [redirect_watch => 'redirect', watch => {}, qr/redirects are not followed/],
    [drip_list => 'drip', list => {}, qr/within many times timeout/],
    [drip_watch => 'drip', watch => { times => 1 },
        qr/neither event nor bookmark/],
    # As if nothing had happened: it is renewed without a line.
    [silent => 'watch_silent', watch => { times => 1 }, undef],
);

my $t = DynamicWeight->new;
chmod 0644, $t->write_file('token', $token);
my $other = $t->fake_cluster('OTHER');

my (%fake, %nodes, %want);
my ($clusters, $lines) = ('', '');
sub app {
    my ($name, $pods) = @_;
    $fake{$name}->app('prod', 'orders', $pods, deployment => JSON::PP::true);
    $want{$_} = $pods * 10 / 3 for @{$nodes{$name}};
}
for my $i (0 .. $#faults) {
    my ($name) = @{$faults[$i]};
    my $source = $name =~ /^numbers/ ? 'deployment' : 'service';
    $fake{$name} = $t->fake_cluster(uc $name, "--token=$token");
    $nodes{$name} = [map "127.0.@{[$i + 1]}.$_", 11 .. 13];
    app($name, 12);
    $fake{$name}->nodes(@{$nodes{$name}});
    $clusters .= <<"EOF";
    dynamic_weight_cluster $name {
        api            %%@{[uc $name]}%%;
        token_file     %%DIR%%/token;
        ingress_nodes  nodes=role=ingress;
    }
EOF
    $lines .= <<"EOF";
        ingress_nodes  $name $source=prod/orders port=%%BACKEND%% slots=4;
EOF
}
$want{'127.0.0.1'} = 10;

$t->start_backends;
$t->conf(http => <<"EOF" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m;
$clusters
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
$lines
    }
EOF
ok($t->start, 'nginx starts');
ok($t->wait_weights('orders', \%want), 'weights');
wait_ok {
    !grep { $_->requests->{open_watches} < 2 } values %fake
} 'every cluster is watched';

$t->start_load(1, pause => 0.002);
for my $fault (@faults) {
    my ($name, $kind, $on, $more) = @$fault;
    my @path = (path_prefix => '/apis/');
    $fake{$name}->fault($kind, on => $on, @path,
        location => $other->url . '/steal', %$more);
    # A watch under way has to end before a list, or another watch, begins.
    $fake{$name}->fault('watch_error', code => 410, times => 1, @path)
        unless $kind =~ /^watch_/;
}
app('silent', 15);    # which nobody says, until it is renewed

for my $fault (@faults) {
    my ($name, undef, undef, undef, $why) = @$fault;
    next unless $why;
    wait_ok { $t->log =~ /\[error\].*cluster "$name": .*$why/ }
        "$name: the log says why", 240
        or diag(explain($t->status->{clusters}{$name}{watch}));
    next if $name eq 'drip_watch';
    wait_ok { $t->status->{clusters}{$name}{watch}{failures} >= 2 }
        "$name: and fails again", 150;
}
ok($t->wait_weights('orders', \%want), 'weights hold');

my $stolen = $other->requests;
is($stolen->{$_}, 0, "the other host got no $_")
    for qw(lists watches others);
is_deeply($stolen->{recent}, [], 'nor any request with the token');

$_->heal for values %fake;
app($_->[0], 18) for @faults;
ok($t->wait_weights('orders', \%want, 90), 'weights follow again');

my ($peak) = do {
    open my $f, '<', "/proc/@{[$t->worker0]}/status" or die "status: $!\n";
    join('', <$f>) =~ /^VmHWM:\s+(\d+) kB/m;
};
note("worker 0 had at most $peak kB");
cmp_ok($peak, '<', 1 << 20, 'a GiB of anything is not gathered');

my $log = $t->log;
for my $fault (@faults) {
    my ($name) = @$fault;
    my %seen;
    my @errors = $log =~ /\[error\].*?cluster "$name": ([^\n]*)/g;
    is(join("\n", grep { $seen{s/\d+//gr}++ } @errors), '',
        "$name: no error is told twice");
    my @pods = $log =~ /cluster "$name": pods (\d+(?: -> \d+)?),/g;
    is("@pods", $name eq 'silent' ? '12 12 -> 15 15 -> 18' : '12 12 -> 18',
        "$name: no other weight in between");
}
unlike($log, qr/$token/, 'the token is not in the log');

my $load = $t->stop_load;
is($load->{failed}, 0, 'no request failed') or diag(explain($load));

$t->done;
