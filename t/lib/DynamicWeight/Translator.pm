package DynamicWeight::Translator;

# Puts dynamic_weight into the upstreams of any nginx.conf, where nginx's own
# method stood:
#
#   use DynamicWeight::Translator qw(translate);
#   translate($text)   the configuration with it
#
# least_conn and hash become this module's, ip_hash its hash of the address, and
# other methods round robin; "zone" goes, which the module refuses as it is not
# needed. What else it refuses stays, and is refused. Upstreams of "stream" stay.
#
# PERL5OPT="-It/lib -IDIR/lib -MDynamicWeight::Translator=in_tests" does so to each
# configuration that a test of nginx's own suite, in DIR, writes, which loads
# TEST_NGINX_MODULE, too.

use strict;
use warnings;

my %method = (
    least_conn => sub { 'dynamic_weight least_conn;' },
    hash       => sub { "dynamic_weight hash @{[$_[0] =~ s/\s+consistent$//r]};" },
    ip_hash    => sub { 'dynamic_weight hash $remote_addr;' },
    random     => sub { 'dynamic_weight;' },
    least_time => sub { 'dynamic_weight;' },
);
my $methods = join '|', keys %method;

sub translate {
    my ($text) = @_;
    my ($translated, @open, $first) = ('');
    while ($text =~ /\G("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\#[^\n]*|\$\{\w+\}
            |[{};]|\s+|[^\s{};"'#\$]+|.)/gcsx)
    {
        my $token = $1;
        $translated .= $token;
        if ($token eq '{') {
            push @open, $first // '';
            if ($open[-1] eq 'upstream' && !grep { $_ eq 'stream' } @open) {
                $text =~ /\G([^{}]*)/gc;
                $translated .= upstream($1);
            }
        } elsif ($token eq '}') {
            pop @open;
        } elsif ($token !~ /^(?:;|\s+|#.*)$/s) {
            $first //= $token;
            next;
        }
        $first = undef if $token =~ /^[{};]$/;
    }
    return $translated;
}

# What stands in its block.
sub upstream {
    my ($content) = @_;
    my $line = 'dynamic_weight;';
    $line = $method{$1}->($2) if $content =~ s/^[ \t]*($methods)\b\s*([^;]*);//m;
    $content =~ s/^[ \t]*zone\s[^;]*;//mg;
    return " $line$content";
}

sub import {
    my ($class, $what) = @_;
    no strict 'refs';
    if (($what // '') ne 'in_tests') {
        *{caller() . '::translate'} = \&translate;
        return;
    }
    require Test::Nginx;
    my $write_file = \&Test::Nginx::write_file;
    no warnings 'redefine';
    *Test::Nginx::write_file = sub {
        my ($self, $name, $content) = @_;
        my $translated = $name =~ /\.conf$/ ? translate($content) : $content;
        if ($translated ne $content) {
            $content = $translated =~ s/^\s*http\s*\{/$& dynamic_weight_zone main:32m;/mr;
            my $module = $ENV{TEST_NGINX_MODULE};
            $content = "load_module $module;\n$content" if $module ne 'static';
        }
        return $write_file->($self, $name, $content);
    };
}

1;
