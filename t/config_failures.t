#!/usr/bin/perl

# What an upstream is to do about failures, dynamic_weight_retries and
# dynamic_weight_panic, in the configuration: what is taken, and what each mistake
# is told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new;

sub test {
    my ($directives, $method) = @_;
    $t->conf(http => 'dynamic_weight_zone main:1m; upstream u { '
        . ($method // 'dynamic_weight;') . " server 127.0.0.1; $directives }");
    return $t->test_conf;
}

for my $right ('dynamic_weight_retries budget=0% min=0;',
    'dynamic_weight_retries min=1000000 budget=100%;',
    'dynamic_weight_retries budget=20%;',
    'dynamic_weight_panic 0%;', 'dynamic_weight_panic 100%;',
    'dynamic_weight_panic 50%; dynamic_weight_retries budget=20%;')
{
    my ($status, $told) = test($right);
    is($status, 0, "taken: $right") or diag($told);
    unlike($told, qr/\[warn\]/, 'without a warning');
}

my $parameter = qr/write "budget=20%", from 0% to 100% .* "min=3"/;
my %wrong = (
    (map { $_ => qr/invalid parameter "\Q$_\E": $parameter/ } qw(20% budget=20
        budget=% budget=101% budget=-1% budget=all most=3 min=-1 min= min=x
        min=1000001)),
    'min=3' => qr/without a budget: write "budget=20%" beside "min="/,
);
for my $what (sort keys %wrong) {
    my ($status, $told) = test("dynamic_weight_retries $what;");
    isnt($status, 0, "refused: dynamic_weight_retries $what");
    like($told, $wrong{$what}, '... and told');
    like($told, qr/nginx\.conf:\d+/, '... with its place');
}
for my $what (qw(50 % 101% -1% half%)) {
    my ($status, $told) = test("dynamic_weight_panic $what;");
    isnt($status, 0, "refused: dynamic_weight_panic $what");
    like($told, qr/invalid value "\Q$what\E": write "50%".*nginx\.conf:\d+/,
        '... and told');
}
for my $directive ('dynamic_weight_retries budget=1%;', 'dynamic_weight_panic 1%;')
{
    my ($status, $told) = test($directive x 2);
    isnt($status, 0, "refused: $directive twice");
    like($told, qr/is duplicate/, '... and told');
    ($status, $told) = test($directive, '');
    isnt($status, 0, "refused: $directive without the method");
    like($told, qr/without its method: write "dynamic_weight;" .*conf:\d+/,
        '... and told');
}

$t->cleanup;
done_testing();
